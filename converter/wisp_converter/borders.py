"""The file's inputs and outputs where they shall differ from the source's: in integers, or as NHWC.

At each border goes what makes the source's numbers, or takes them: a DequantizeLinear or QuantizeLinear, a Transpose,
for pixels a table of (pixel - mean) / std. Passes join it with what the graph has there. So no float is left of an int8
graph's border, and its integers are those that it would have made of the floats.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .errors import UnsupportedError
from .ir import Graph, Node, Value, constant
from .ops.quantize import bytes_of_table, dequantize_node, lookup_node, quantize_node
from .ops.shape import transpose_node
from .passes import BORDER_PASSES, run_passes
from .quantize.assign import affine
from .runner import pixels_to_real

FLOAT = np.dtype(np.float32)
DTYPES = {"float": FLOAT, "int8": np.dtype(np.int8), "uint8": np.dtype(np.uint8)}
LAYOUTS = ("NCHW", "NHWC")
TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
ALL = "*"
CHANNELS = (1, 3, 4)  # of what is taken for a picture


@dataclass
class Port:
    """An input or output. `dtype`: of its integers, None for the source's own. `is_nhwc`: the source's NCHW transposed.
    `pixels`: mean and std for each index of axis `channels` where it is a picture. `is_named`: its dtype was asked for
    by its name. `range`: of its values, as observed."""

    side: str
    name: str
    dtype: np.dtype | None = None
    is_nhwc: bool = False
    pixels: tuple[list[float], list[float]] | None = None
    channels: int = 1
    is_named: bool = False
    range: tuple[float, float] | None = None

    @property
    def takes_pixels(self) -> bool:
        """Whether its bytes are pixels, which the model turns into real numbers."""
        return self.pixels is not None and self.dtype == np.uint8

    @property
    def exact(self) -> tuple[float, int] | None:
        """(scale, zero point) with real = scale * (pixel - zero point), if there are such."""
        if not self.takes_pixels or any(len(set(numbers)) > 1 for numbers in self.pixels):
            return None
        mean, std = (numbers[0] for numbers in self.pixels)
        return (1 / std, int(mean)) if mean in range(256) and std > 0 else None


class Borders:
    """What `io`, `layout` and `preprocess` (complete) of `convert` ask of a float graph; `observe` before it is
    quantized, and `apply` after. Raises UnsupportedError for what this model cannot have."""

    def __init__(self, graph: Graph, io: str | Mapping | None, layout: str | Mapping | None, preprocess: dict | None):
        self.preprocess = preprocess
        self.inputs = [Port("input", v.name) for v in graph.inputs]
        self.outputs = [Port("output", v.name) for v in graph.outputs]
        self.pairs = [*zip(self.inputs, graph.inputs), *zip(self.outputs, graph.outputs)]
        for port, value in self.pairs:
            self._find_pixels(port, value)
        for port, value, wanted, is_named in self._wanted("io", io, DTYPES):
            if value.dtype == FLOAT:
                port.dtype, port.is_named = None if wanted == "float" else DTYPES[wanted], is_named
            elif is_named and value.dtype != DTYPES[wanted]:
                raise UnsupportedError(f"{port.side} {port.name!r} cannot be {wanted}: it is {value.dtype}, "
                                       "and only float32 becomes integers")
        for port, value, wanted, is_named in self._wanted("layout", layout, LAYOUTS):
            refusal = None if wanted == "NCHW" else _not_nchw(port, value)
            if refusal and is_named:
                raise UnsupportedError(f"{port.side} {port.name!r} cannot be {wanted}: {refusal}")
            port.is_nhwc = (wanted == "NHWC" and not refusal
                            and (is_named or port.side == "input" and not _looks_nhwc(value.shape)))

    def _find_pixels(self, port: Port, value: Value) -> None:
        if self.preprocess is None or port.side != "input" or value.shape is None or len(value.shape) != 4:
            return
        port.channels = 3 if self.preprocess["layout"] == "NHWC" else 1
        if value.shape[port.channels] == len(self.preprocess["mean"]):
            port.pixels = self.preprocess["mean"], self.preprocess["std"]

    def _wanted(self, option: str, asked: str | Mapping | None, known):
        """(port, value, what is asked for, whether by name) of all that an option speaks of."""
        asked = dict(asked) if isinstance(asked, Mapping) else {} if asked is None else {ALL: asked}
        for name, wanted in asked.items():
            if wanted not in known:
                raise UnsupportedError(f"{option}={wanted!r}: expected one of {', '.join(known)}")
            if name != ALL and all(name != port.name for port, _ in self.pairs):
                names = ", ".join(repr(port.name) for port, _ in self.pairs)
                raise UnsupportedError(f"{option}={ {name: wanted} }: no input or output is called {name!r}; "
                                       f"there are {names}")
        for port, value in self.pairs:
            if port.name in asked or ALL in asked:
                yield port, value, asked.get(port.name, asked.get(ALL)), port.name in asked

    def observe(self, is_quantized: bool, say: Callable[[str], None]) -> None:
        """Note the ranges that calibration found; where bytes are pixels, the input's scale will be theirs. What can
        have no integers is refused if it was asked for by name, else told."""
        asked = [(port, value) for port, value in self.pairs if port.dtype is not None]
        refused = []
        for port, value in asked:
            port.range = value.range if is_quantized else None
            if port.exact and is_quantized:
                scale, zero = port.exact
                value.range = (-zero * scale, (255 - zero) * scale)
            elif port.range is None and not port.takes_pixels:
                refused.append((port, "its values were not finite in calibration" if is_quantized
                                else "it has no scale in a float model; quantize it" if port.side == "output"
                                else "a float model takes uint8 pixels only, and only if mean and std are known"))
        for port, reason in refused:
            if port.is_named or len(refused) == len(asked):
                raise UnsupportedError(f"{port.side} {port.name!r} cannot be {port.dtype}: {reason}")
            say(f"{port.side} {port.name!r} stays float: {reason}")
            port.dtype = None

    def apply(self, graph: Graph, say: Callable[[str], None]) -> None:
        """Rewrite the graph's borders, in place."""
        for i, port in enumerate(self.inputs):
            graph.inputs[i] = self._apply_input(graph, port, graph.inputs[i])
        for i, port in enumerate(self.outputs):
            graph.outputs[i] = self._apply_output(graph, port, graph.outputs[i])
        changed = [*zip(self.inputs, graph.inputs), *zip(self.outputs, graph.outputs)]
        if any(port.is_nhwc or port.dtype is not None for port, _ in changed):
            run_passes(graph, BORDER_PASSES)
        for port, value in changed:
            if port.dtype is not None:
                meaning = ("pixels 0..255" if port.takes_pixels
                           else f"real = {value.scale:.6g} * ({port.dtype} - {value.zero_point})")
                say(f"{port.side} {port.name!r} is {port.dtype}: {meaning}")

    def _apply_input(self, graph: Graph, port: Port, x: Value) -> Value:
        shape = tuple(x.shape[p] for p in TO_NHWC) if port.is_nhwc else x.shape
        given = Value(port.name, x.dtype if port.dtype is None else port.dtype, shape)
        x.name, nodes, last = f"{port.name}.source", [], given
        if port.dtype is not None:
            last = Value(f"{port.name}.real", FLOAT, shape) if port.is_nhwc else x
            if port.takes_pixels:
                given.scale, given.zero_point = port.exact or (0.0, 0)
                nodes.append(_table_of_pixels(port, given, last))
            else:
                given.scale, given.zero_point = _scale(port, [n.outputs[0] for n in graph.users()[x]])
                nodes.append(dequantize_node(given, last))
        if port.is_nhwc:
            nodes.append(transpose_node(last, x, TO_NCHW))
        graph.nodes = nodes + graph.nodes
        return given if nodes else _renamed(x, port.name)

    def _apply_output(self, graph: Graph, port: Port, y: Value) -> Value:
        made = graph.producers()[y]
        y.name, last = f"{port.name}.source", y
        if port.is_nhwc:
            last = Value(f"{port.name}.nhwc", y.dtype, tuple(y.shape[p] for p in TO_NHWC))
            graph.nodes.append(transpose_node(y, last, TO_NHWC))
        if port.dtype is not None:
            scale, zero = _scale(port, made.inputs)
            stored = Value(port.name, port.dtype, last.shape, scale=scale, zero_point=zero)
            graph.nodes.append(quantize_node(last, stored))
            last = stored
        return _renamed(last, port.name)

    def metadata(self) -> dict:
        """What the file says of this: how its inputs and outputs become the source's, see engine/wisp/interface.py, and
        how it wants pictures."""
        stated = {}
        for port in (*self.inputs, *self.outputs):
            entry = {"layout": "NHWC"} if port.is_nhwc else {}
            if port.dtype is not None:
                entry["dtype"] = FLOAT.name
            if port.takes_pixels:
                mean, std = port.pixels
                entry.update(mean=mean, std=std, axis=3 if port.is_nhwc else port.channels)
            if entry:
                stated[port.name] = entry
        found = {"interface": stated} if stated else {}
        picture = next((port for port in self.inputs if port.pixels), None)
        if self.preprocess:
            found["preprocessing"] = {**self.preprocess,
                                      **({"layout": "NHWC"} if picture and picture.is_nhwc else {}),
                                      **({"dtype": "uint8"} if picture and picture.takes_pixels else {})}
        return found


def _not_nchw(port: Port, value: Value) -> str | None:
    if value.shape is None or len(value.shape) != 4:
        return f"it has {'an unknown number of' if value.shape is None else len(value.shape)} axes, not four"
    return "it is NHWC already, as preprocess says" if port.pixels and port.channels == 3 else None


def _looks_nhwc(shape) -> bool:
    """Pictures with the channels last, of which nobody said so."""
    return shape[3] in CHANNELS and all(isinstance(d, int) and d > max(CHANNELS) for d in shape[1:3])


def _renamed(value: Value, name: str) -> Value:
    value.name = name
    return value


def _scale(port: Port, near: list[Value | None]) -> tuple[float, int]:
    """Scale and zero point of a port's integers: those of an int8 value one node away, else what its range asks for."""
    found = next((v for v in near if v is not None and v.scale), None) or affine(*port.range)
    return found.scale, found.zero_point + (128 if port.dtype == np.uint8 else 0)


def _table_of_pixels(port: Port, pixels: Value, real: Value) -> Node:
    """real = (pixel - mean) / std in f32, by one table or by one for each channel."""
    every = bytes_of_table(np.dtype(np.uint8))
    rows = pixels_to_real(np.repeat(every[:, None], len(port.pixels[0]), 1), *port.pixels).T
    is_one = (rows == rows[0]).all()
    table = constant(f"{port.name}.table", np.ascontiguousarray(rows[0] if is_one else rows))
    axis = {} if is_one else {"axis": 3 if port.is_nhwc else port.channels}
    return lookup_node(pixels, table, real, f"{port.name}.pixels", **axis)
