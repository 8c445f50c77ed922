"""Inputs on which source and result are compared: drawn so that the source takes them, or the user's own."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from . import ops
from .errors import InputError
from .ir import Dim, Graph, Node, Value, bodies
from .opcodes import has_trait
from .ops.rules import Whole
from .runner import normalize
from .target.format import is_float
from .samples import cast, fits, named

SINGLE_AXES = {"n", "b", "bs", "batch", "batch_size", "batchsize", "num_batch"}
TIMES = ("seq", "time", "len", "frame", "step", "token")  # in the name of a first axis that is no batch
OPEN_EXTENT = 32  # for axes left open that are no batch; many networks halve theirs five times
WIDE_EXTENT = 512  # where that was too few: audio, whose windows are longer
MAX_ELEMENTS = 1 << 22  # of an input whose axes were widened
FLAGS = Whole(2)
OWN = "input for the comparison"  # in messages
TOP = 10  # whole numbers that mean nothing known are drawn below this


def meanings(graph: Graph) -> dict[Value, list[Whole]]:
    """For each input (a copy) what its readers take if it holds whole numbers, through everything that moves these on
    to them: ids of a table, lengths, shapes. Empty where nothing is known."""
    wanted: dict[Value, list[Whole]] = defaultdict(list)
    flags: set[Value] = set()
    _ask_nodes(graph, wanted, flags)
    return {replace(v): wanted[v] or [FLAGS] * (v in flags) for v in graph.inputs}


def _ask_nodes(graph: Graph, wanted: dict[Value, list[Whole]], flags: set[Value]) -> None:
    """Readers before what they read. `flags`: what is compared or becomes a float or a bool, and may be a mask."""
    for node in reversed(graph.nodes):
        for body in bodies(node):
            _ask_nodes(body, wanted, flags)
        for operand, takes in _taken(node).items():
            value = node.inputs[operand] if operand < len(node.inputs) else None
            if value is None or value.dtype.kind not in "iu":
                continue
            if isinstance(takes, Whole):
                wanted[value].append(takes)
            else:
                wanted[value] += wanted[takes]
                if takes in flags or takes.dtype.kind not in "iu":
                    flags.add(value)


def _taken(node: Node) -> dict[int, Whole | Value]:
    """What a node takes as each operand: whole numbers of some meaning, or those that a result holds."""
    found: dict[int, Whole | Value] = {}
    if has_trait(node.op, "ELEMENTWISE") or has_trait(node.op, "JOINS"):
        found = dict.fromkeys(range(len(node.inputs)), node.outputs[0])
    elif has_trait(node.op, "MOVES"):
        found = {0: node.outputs[0]}
    rule = ops.find("takes", node.op)
    return found | (rule(node) if rule else {})


@dataclass
class Draw:
    """Random inputs that respect dtypes, shapes, and what whole numbers mean. `open_extent`, `single`: the
    extents of open axes and of open batches. `pixels`: how pictures become the input. `small`: every whole number is 0
    or 1, every float in 0..1."""

    meanings: dict[Value, list[Whole]]
    pixels: dict | None = None
    seed: int = 0
    open_extent: int = OPEN_EXTENT
    single: int = 1
    small: bool = False
    extents: dict[str, int] = field(default_factory=dict)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """By input; an axis called `a + b` last, when those that it sums are known."""
        for value, axis, dim in sorted(((v, i, d) for v in self.meanings for i, d in enumerate(v.shape)),
                                       key=lambda found: "+" in str(found[2])):
            self._extent(value, axis, dim)
        return {v.name: tuple(self._extent(v, axis, dim) for axis, dim in enumerate(v.shape)) for v in self.meanings}

    def arrays(self) -> dict[str, np.ndarray]:
        rng, shapes = np.random.default_rng(self.seed), self.shapes()
        return {v.name: self._array(v, shapes[v.name], rng) for v in self.meanings}

    def _extent(self, value: Value, axis: int, dim: Dim) -> int:
        if isinstance(dim, int):
            return dim
        terms = [t.strip() for t in dim.split("+")]
        if len(terms) > 1 and all(t.isdigit() or t in self.extents for t in terms):
            return self.extents.setdefault(dim, sum(int(t) if t.isdigit() else self.extents[t] for t in terms))
        name = dim.lower()
        first = axis == 0 and len(value.shape) > 1 and name != "t" and not any(t in name for t in TIMES)
        single = name in SINGLE_AXES or first or dim == f"{value.name}_0"
        return self.extents.setdefault(dim, self.single if single else self.open_extent)

    def _array(self, value: Value, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        if is_float(value.dtype):
            if self.small:
                return rng.random(shape).astype(value.dtype)
            if self.pixels and len(self.meanings) == 1 and len(shape) == 4:
                return self._pictures(shape, rng).astype(value.dtype)
            return rng.standard_normal(shape).astype(value.dtype)
        low, count = (0, 2) if value.dtype.kind == "b" or self.small else self._numbers(value, shape)
        return (low + rng.integers(0, count, shape)).astype(value.dtype)

    def _pictures(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Pixels by chance, as they become the model's input."""
        count, *sides = shape
        height, width = sides[:2] if self.pixels.get("layout") == "NHWC" else sides[1:]
        pixels = rng.integers(0, 256, (count, height, width, 3)).astype(np.uint8)
        pictures = np.concatenate([normalize(p, self.pixels) for p in pixels])
        return pictures if pictures.shape == shape else rng.standard_normal(shape)

    def _numbers(self, value: Value, shape: tuple[int, ...]) -> tuple[int | np.ndarray, int]:
        """The lowest number, and how many from there on, that all readers take; if there are none, one of them."""
        takes = self.meanings[value]
        if takes == [FLAGS] and value.dtype.itemsize == 1 or not takes:
            top = 256 if value.dtype == np.uint8 else 128 if value.dtype == np.int8 else TOP
            return 0, top
        for whole in takes:
            if whole.values is not None:
                values = [self._known(d) for d in whole.values]
                return (np.reshape(values, shape) if math.prod(shape) == len(values) else values[-1]), 1
        low = max(w.first for w in takes)
        count = min(w.first + self._known(w.count) for w in takes) - low
        return (low, count) if count > 0 else (min(w.first for w in takes), 1)

    def _known(self, dim: Dim) -> int:
        return dim if isinstance(dim, int) else self.extents.get(dim, 1)


def draws(meanings: dict[Value, list[Whole]], pixels: dict | None = None) -> Iterator[dict]:
    """A handful of tries, the best first; what the source refuses of one it may take of the next."""
    best = Draw(meanings, pixels)
    yield best.arrays()
    yield Draw(meanings, small=True).arrays()
    if best.extents:
        for extent in (1, WIDE_EXTENT):
            wide = Draw(meanings, pixels, open_extent=extent)
            if all(math.prod(shape) <= MAX_ELEMENTS for shape in wide.shapes().values()):
                yield wide.arrays()


def draw_other(meanings: dict[Value, list[Whole]]) -> dict | None:
    """Inputs whose open axes have other extents than those of `draws`; None if no axis is open."""
    other = Draw(meanings, seed=1, open_extent=2 * OPEN_EXTENT, single=2)
    arrays = other.arrays()
    return arrays if other.extents else None


def given(arrays, inputs: list[Value]) -> dict[str, np.ndarray] | None:
    """The user's own inputs, checked: InputError says which one does not fit."""
    if arrays is None:
        return None
    arrays = named(OWN, arrays, inputs, InputError)
    for value in inputs:
        array = arrays[value.name] = cast(OWN, value, arrays[value.name], InputError)
        if not fits(array.shape, value.shape):
            raise InputError(f"{OWN}: {value.name!r} has shape {array.shape}, expected {value.shape}")
    return arrays
