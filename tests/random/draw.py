"""One random node of an operator: what its schema says of types, operands and attributes, and what a hint adds."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools
import re
from collections.abc import Callable

import numpy as np
from onnx import TensorProto, defs, helper, numpy_helper

OLDEST = 7  # opset
MICROSOFT = "com.microsoft"
HINTS: dict[str, Callable[[Draw], None]] = {}
"""By operator: a function that draws what a schema cannot tell. What it leaves, the schema's rules draw."""
NOT_DRAWN = ("string", "complex64", "complex128")
WIDEST = 8  # axes of a tensor in Wisp


def hint(*names: str) -> Callable[[Callable], Callable]:
    """Decorator: the function is the hint of these operators."""
    def register(function: Callable) -> Callable:
        HINTS.update(dict.fromkeys(names, function))
        return function
    return register


@functools.cache
def opsets(domain: str, name: str) -> dict[int, object]:
    """By opset of ai.onnx the operator's schema in it, where it has one that is not deprecated."""
    newest = defs.onnx_opset_version()
    if domain == MICROSOFT:
        schema = _microsoft().get(name)
        return dict.fromkeys(range(OLDEST, newest + 1), schema) if schema else {}
    if domain:
        return dict.fromkeys(range(OLDEST, newest + 1), defs.get_schema(name, domain))
    found = {}
    for opset in range(OLDEST, newest + 1):
        try:
            found[opset] = defs.get_schema(name, opset, domain)
        except defs.SchemaError:  # it is younger
            continue
    return {opset: schema for opset, schema in found.items() if not schema.deprecated}


@functools.cache
def _microsoft() -> dict[str, object]:
    """ONNX Runtime's own operators by name; none where it is not installed."""
    try:
        from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema
    except ImportError:
        return {}
    return {s.name: s for s in get_all_operator_schema() if s.domain == MICROSOFT}


@functools.cache
def numpy_type(text: str) -> np.dtype | None:
    """The dtype of a schema's type such as "tensor(float16)"; None for one that is not drawn."""
    match = re.fullmatch(r"tensor\((\w+)\)", text)
    if not match or match[1] in NOT_DRAWN:
        return None
    return np.dtype(helper.tensor_dtype_to_np_dtype(TensorProto.DataType.Value(match[1].upper())))


def type_text(parameter) -> str:
    """A type variable or a type; onnx and ONNX Runtime call it by different names."""
    return parameter.type_str if hasattr(parameter, "type_str") else parameter.typeStr


def by_chance(name: str, schema) -> bool:
    """Whether an operator's results are random; Dropout's are not, without training."""
    return "seed" in schema.attributes and name != "Dropout"


class Draw:
    """A node in the making. `pool`: arrays that nodes before it have made, which it may read: an operand that is one
    of these (the same object) reads it. After `draw`: `operands`, arrays or None in the schema's order, and `attrs`."""

    def __init__(self, rng: np.random.Generator, name: str, schema, opset: int, pool: list[np.ndarray]) -> None:
        self.rng, self.name, self.schema, self.opset, self.pool = rng, name, schema, opset, pool
        self.types: dict[str, np.dtype] = {}
        self.inputs: dict[str, np.ndarray | list[np.ndarray] | None] = {}
        self.attrs: dict[str, object] = {}
        self.outputs: int | None = None
        self.operands: list[np.ndarray | None] = []
        self.shape = self.any_shape()
        self.allowed = {c.type_param_str: list(c.allowed_type_strs) for c in schema.type_constraints}
        self.formal = {p.name: p for p in schema.inputs}

    def draw(self) -> bool:
        """Whether a node came out: not where an operand can only be what is not drawn."""
        try:
            HINTS.get(self.name, lambda draw: None)(self)
            for parameter in self.schema.inputs:
                self._operand(parameter)
            for name, attribute in self.schema.attributes.items():
                if name not in self.attrs and (attribute.required or self.chance(0.5)):
                    self.attrs[name] = self._attribute(name, attribute)
        except LookupError:
            return False
        self.attrs = {k: v for k, v in self.attrs.items() if v is not None and k in self.schema.attributes}
        while self.operands and self.operands[-1] is None:
            self.operands.pop()
        return True

    # ---- chance

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def pick(self, *choices):
        """LookupError where there is nothing to choose from: then the node cannot be drawn."""
        if not choices:
            raise LookupError("nothing to choose from")
        return choices[int(self.rng.integers(len(choices)))]

    def whole(self, low: int, high: int) -> int:
        """From low to high, both included. LookupError where that is nothing."""
        if high < low:
            raise LookupError("nothing to choose from")
        return int(self.rng.integers(low, high + 1))

    def any_shape(self, low: int = 0, high: int = 4) -> tuple[int, ...]:
        shape = [self.whole(1, 5) for _ in range(self.whole(low, high))]
        if shape and self.chance(0.03):
            shape[self.whole(0, len(shape) - 1)] = 0
        return tuple(shape)

    def axis(self, rank: int) -> int:
        """One of `rank` axes, counted from either end."""
        return self.whole(-rank, rank - 1) if rank and self.opset >= 11 else self.whole(0, max(rank - 1, 0))

    def axes(self, rank: int, low: int = 0) -> list[int]:
        count = self.whole(min(low, rank), rank)
        found = [int(a) for a in self.rng.permutation(rank)[:count]]
        return [a - rank if self.opset >= 11 and self.chance(0.3) else a for a in found]

    # ---- types and values

    def has(self, name: str) -> bool:
        return name in self.formal or name in self.schema.attributes

    def dtype(self, text: str) -> np.dtype:
        """Of a type variable, drawn once, or of a type. LookupError where none can be drawn."""
        if text not in self.types:
            known = [t for t in map(numpy_type, self.allowed.get(text, [text])) if t is not None]
            if not known:
                raise LookupError(text)
            made = [a.dtype for a in self.pool if a.dtype in known]
            if made and self.chance(0.8):
                self.types[text] = self.pick(*made)
            elif np.dtype(np.float32) in known and self.chance(0.5):
                self.types[text] = np.dtype(np.float32)
            else:
                self.types[text] = self.pick(*known)
        return self.types[text]

    def of(self, name: str) -> np.dtype:
        """The dtype of an operand."""
        return self.dtype(type_text(self.formal[name]))

    def numbers(self, dtype: np.dtype, shape) -> np.ndarray:
        """Small numbers of any dtype, of some tensors round ones: ties and equal numbers."""
        shape, dtype = tuple(shape), np.dtype(dtype)
        if dtype.kind == "b":
            return self.rng.random(shape) < 0.5
        if dtype.kind in "iu":
            low = 0 if dtype.kind == "u" else -6
            return self.rng.integers(low, 7, shape).astype(dtype)
        scale = self.pick(0.5, 1, 1, 3)
        found = self.rng.standard_normal(shape) * scale
        if self.chance(0.2):
            found = np.rint(found * 2) / 2
        if dtype.kind != "f" and dtype.itemsize == 1 and "int" in dtype.name:  # of 2 and 4 bits
            found = self.rng.integers(0 if dtype.name.startswith("u") else -2, 2, shape)
        return np.asarray(found).astype(dtype)

    def value(self, name: str, shape=None, rank: int | None = None) -> np.ndarray:
        """For an operand: one that was made before and fits, or a new one. Of this shape, or else of this rank."""
        dtype = self.of(name)
        if self.pool and self.chance(0.85):
            fits = [a for a in self.pool if a.dtype == dtype and (a.shape == tuple(shape) if shape is not None
                                                                  else rank is None or a.ndim == rank)]
            if fits:
                return self.pick(*fits)
        if shape is None:
            shape = self.shape if rank is None else [self.whole(1, 5) for _ in range(rank)]
        return self.numbers(dtype, shape)

    def set(self, name: str, value) -> np.ndarray:
        """State an operand: an array, numbers (of the operand's dtype), a list for a variadic one, or None."""
        if value is not None and not isinstance(value, np.ndarray | list) or (
                isinstance(value, list) and not (value and isinstance(value[0], np.ndarray))):
            value = np.array(value).astype(self.of(name))
        self.inputs[name] = value
        return value

    def data(self, name: str, shape=None, rank: int | None = None) -> np.ndarray:
        """State an operand by chance; its shape is the node's from here on."""
        value = self.set(name, self.value(name, shape, rank))
        self.shape = value.shape
        return value

    def give(self, name: str, value) -> None:
        """State what is an operand in some opsets and an attribute in others."""
        if name in self.formal:
            self.set(name, value)
        elif name in self.schema.attributes:
            self.attrs[name] = value

    def maybe(self, name: str, shape) -> None:
        """State an optional operand, or leave it out."""
        if name in self.formal:
            self.set(name, self.value(name, shape) if self.chance(0.5) else None)

    # ---- by the schema

    def _operand(self, parameter) -> None:
        option = parameter.option.name
        if parameter.name in self.inputs:
            value = self.inputs[parameter.name]
            self.operands += value if isinstance(value, list) else [value]
        elif option == "Variadic":
            count = self.whole(max(1, self.schema.min_input - len(self.operands)), 4)
            self.operands += [self._broadcast(parameter.name) for _ in range(count)]
        elif option == "Optional" and self.chance(0.5):
            self.operands.append(None)
        elif not self.operands:
            self.operands.append(self.data(parameter.name))
        else:
            self.operands.append(self._broadcast(parameter.name))

    def _broadcast(self, name: str) -> np.ndarray:
        """Of the node's shape; where the operator broadcasts, also of one that goes with it."""
        shape = list(self.shape)
        if "broadcast" in (self.schema.doc or "") and self.chance(0.5):
            shape = [1 if self.chance(0.4) else e for e in shape][self.whole(0, len(shape)):]
        return self.value(name, shape)

    def _attribute(self, name: str, attribute) -> object:
        kind, rank = attribute.type.name, len(self.shape)
        if kind == "INT":
            if name == "axis":
                return self.axis(rank)
            if name in ("to", "dtype", "output_dtype"):
                known = [t for c in self.schema.outputs for t in self.allowed.get(type_text(c), []) if numpy_type(t)]
                return helper.np_dtype_to_tensor_dtype(numpy_type(self.pick(*known))) if known else None
            return self.whole(0, 1)
        if kind == "FLOAT":
            return float(np.float32(self.pick(0.25, 0.5, 1.0, 1.5, self.rng.random() * 2)))
        if kind == "INTS" and name == "axes":
            return self.axes(rank, 1) or None
        if kind == "STRING":
            words = self.words(name)
            return self.pick(*words) if words else None
        if kind == "TENSOR":
            dtype = self.pick(*[t for t in map(numpy_type, self.allowed.get(type_text(self.schema.outputs[0]), []))
                                if t is not None])
            return numpy_helper.from_array(self.numbers(dtype, [1]))
        return None

    def words(self, attribute: str) -> list[str]:
        """What the text of the schema says a string attribute may be."""
        text = self.schema.attributes[attribute].description or ""
        quoted = re.findall(r"[\"'`]([A-Za-z][A-Za-z_]+)[\"'`]", text)
        return sorted({*quoted, *re.findall(r"\b[A-Z_]{5,}\b", text)})
