"""A second reader of the .wisp file, from the text of docs/format.md alone: for `wisp inspect` and the tests.

It shares no code with the converter's writer or the C reader, so that each checks the others.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from ._wisp_lists import LAYOUTS
from .errors import BadFileError

SECTIONS = ("symbols", "tensors", "graphs", "states", "operators", "operands", "parameters", "strings",
            "metadata", "weights")
KINDS = ("activation", "constant", "shape", "state")
DTYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
          10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16", 17: "float8_e4m3fn",
          18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
          23: "float4_e2m1fn", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2"}


class Struct:
    """A struct of the file: each field is "name format", in order, without gaps."""

    def __init__(self, *fields: str) -> None:
        self.size, self.fields = 0, {}
        for name, letters in map(str.split, fields):
            self.fields[name] = self.size, struct.Struct(f"<{letters}")
            self.size += self.fields[name][1].size

    def at(self, data: bytes | bytearray, offset: int = 0) -> SimpleNamespace:
        """The fields of the struct at `offset`; those of several values are tuples."""
        found = {name: one.unpack_from(data, offset + place) for name, (place, one) in self.fields.items()}
        return SimpleNamespace(**{name: value[0] if len(value) == 1 else value for name, value in found.items()})

    def all(self, data: bytes | bytearray) -> list[SimpleNamespace]:
        """A section of such structs."""
        return [self.at(data, i) for i in range(0, len(data), self.size)]

    def put(self, data: bytearray, start: int, /, **values: int | tuple[int, ...]) -> None:
        """Write some fields of the struct at `start`."""
        for name, value in values.items():
            place, one = self.fields[name]
            one.pack_into(data, start + place, *(value if isinstance(value, tuple) else (value,)))


HEADER = Struct("magic I", "major H", "minor H", "section_count I", "flags I", "file_size Q", "shared_size Q",
                "plan_size Q", "scratch_size Q", "shape_size Q", "source_sha256 32s", "state_size Q", "reserved 2Q",
                "checksum 2Q")
SECTION = Struct("id I", "entry_size I", "offset Q", "size Q", "checksum 2Q", "flags I", "reserved I")
TENSOR = Struct("name I", "dtype B", "rank B", "kind B", "layout B", "dims 8i", "offset Q", "size Q", "scale f",
                "zero_point i", "block I", "flags H", "ring H")
GRAPH = Struct("first_operator I", "operator_count I", "operands I", "input_count I", "output_count I", "name I",
               "reserved 2I")
STATE = Struct("tensor I", "next I", "initial I", "flags I")
OPERATOR = Struct("code H", "flags H", "input_count H", "output_count H", "name I", "operands I", "parameters I",
                  "parameter_count I", "reserved Q")
ENTRY_SIZES = (4, TENSOR.size, GRAPH.size, STATE.size, OPERATOR.size, 4, 4, 1, 1, 1)
STATIC, OPTIONAL, AT_RESIZE = 1, 1, 1  # flags of header, section, operator
MAX_SECTIONS = 64
_NO_TENSOR = 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class Tensor:
    """`dims`: extents; in an input of the model the name of a symbolic axis; None where only a run can tell. `offset`:
    among the activations, in the weights, in shape memory or in the state, as `kind` says.
    `size`: bytes, 0 while unknown."""

    name: str
    dtype: str
    dims: tuple[int | str | None, ...]
    kind: str
    layout: str
    offset: int
    size: int
    scale: float
    zero_point: int
    flags: int


@dataclass(frozen=True)
class Operator:
    """`code` as in ops.def. `inputs`, `outputs`: tensors, None where optional ones are left out."""

    code: int
    name: str
    inputs: list[Tensor | None]
    outputs: list[Tensor | None]
    parameters: bytes
    at_resize: bool


@dataclass(frozen=True)
class Graph:
    """Operators in execution order. Graph 0 is the model; others are named by parameters of operators."""

    name: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    operators: list[Operator]


@dataclass(frozen=True)
class State:
    """A value that outlives a run: `next` is copied over `tensor`. `initial`: None means zeros."""

    tensor: Tensor
    next: Tensor
    initial: Tensor | None


@dataclass
class File:
    """A checked file. Sizes are bytes; without a static plan those of plan and scratch are 0. `section_sizes`: of the
    sections present that this reader knows."""

    version: tuple[int, int]
    size: int
    is_static: bool
    plan_size: int
    scratch_size: int
    shared_size: int
    shape_size: int
    state_size: int
    source_sha256: str
    section_sizes: dict[str, int]
    symbols: list[str]
    tensors: list[Tensor]
    graphs: list[Graph]
    states: list[State]
    metadata: dict[str, Any]
    weights: bytes = field(repr=False)

    @property
    def inputs(self) -> list[Tensor]:
        return self.graphs[0].inputs

    @property
    def outputs(self) -> list[Tensor]:
        return self.graphs[0].outputs

    @property
    def operators(self) -> list[Operator]:
        """Those of all graphs."""
        return [o for g in self.graphs for o in g.operators]

    def arena_size(self, threads: int) -> int:
        return self.state_size + self.shared_size + threads * self.scratch_size + self.plan_size


def checksum(data: bytes | bytearray) -> tuple[int, int]:
    """The two Fletcher sums over little-endian 32-bit words; `data` is padded with zeros to a multiple of 4."""
    words = np.frombuffer(bytes(data) + bytes(-len(data) % 4), "<u4").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64)
    return int(words.sum(dtype=np.uint64)), int((words * weights).sum(dtype=np.uint64))


def read(source: str | os.PathLike[str] | bytes) -> File:
    """Read and check a whole file. Raises OSError or BadFileError."""
    prefix = ""
    if not isinstance(source, (bytes, bytearray, memoryview)):
        prefix = f"{os.fspath(source)}: "
        with open(source, "rb") as stream:
            source = stream.read()
    try:
        return _parse(bytes(source))
    except BadFileError as error:
        raise BadFileError(f"{prefix}{error}") from None
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise BadFileError(f"{prefix}the file contradicts itself: {error}") from error


def sections(data: bytes) -> tuple[SimpleNamespace, list[SimpleNamespace]]:
    """The header, and the section table's entries, all checksums verified."""
    if len(data) < 8 or data[:4] != b"WISP":
        raise BadFileError("not a .wisp file")
    if len(data) < HEADER.size:
        raise BadFileError("the file is truncated inside the header")
    header = HEADER.at(data)
    if header.major != 1 or header.minor > 0:
        raise BadFileError(f"file format version is {header.major}.{header.minor}, this reader knows 1.0")
    if header.file_size != len(data):
        raise BadFileError(f"the file has {len(data)} bytes, its header says {header.file_size}")
    end = HEADER.size + header.section_count * SECTION.size
    if header.section_count > MAX_SECTIONS or end > len(data) or header.flags & ~STATIC:
        raise BadFileError("too many sections or unknown flags in the header")
    at = HEADER.fields["checksum"][0]
    if checksum(data[:at] + bytes(16) + data[at + 16 : end]) != header.checksum:
        raise BadFileError("the header is damaged: its checksum does not match")
    table = SECTION.all(data[HEADER.size : end])
    last = -1
    for entry in table:
        padded = entry.size + -entry.size % 4
        if entry.flags & ~OPTIONAL:
            raise BadFileError(f"section {entry.id} has unknown flags")
        if entry.id <= last or entry.offset % 64 or entry.offset < end or entry.offset + padded > len(data):
            raise BadFileError(f"section {entry.id} is out of order or out of bounds")
        if entry.id < len(SECTIONS):
            if entry.entry_size != ENTRY_SIZES[entry.id] or entry.size % entry.entry_size:
                raise BadFileError(f"the entries of section {SECTIONS[entry.id]} have another size")
        elif not entry.flags & OPTIONAL:
            raise BadFileError(f"section {entry.id} is needed, and this reader does not know it")
        if checksum(data[entry.offset : entry.offset + padded]) != entry.checksum:
            raise BadFileError(f"the file is damaged: checksum does not match in section {entry.id}")
        last, end = entry.id, entry.offset + padded
    return header, table


def _parse(data: bytes) -> File:
    header, table = sections(data)
    part = dict.fromkeys(SECTIONS, b"")
    part.update((SECTIONS[e.id], data[e.offset : e.offset + e.size]) for e in table if e.id < len(SECTIONS))

    def string(offset: int) -> str:
        return part["strings"][offset : part["strings"].index(0, offset)].decode("utf-8")

    symbols = [string(o) for o in _words(part["symbols"])]
    operands, parameters, rows = _words(part["operands"]), part["parameters"], GRAPH.all(part["graphs"])
    model = rows[0]
    interface = operands[model.operands : model.operands + model.input_count]
    tensors = [_tensor(entry, string, symbols if i in interface else [])
               for i, entry in enumerate(TENSOR.all(part["tensors"]))]

    def refer(begin: int, count: int) -> list[Tensor | None]:
        return [None if operands[i] == _NO_TENSOR else tensors[operands[i]] for i in range(begin, begin + count)]

    def require(begin: int, count: int) -> list[Tensor]:
        found = [t for t in refer(begin, count) if t is not None]
        if len(found) < count:
            raise BadFileError("a graph has no tensor for an input or output")
        return found

    operators = [Operator(o.code, string(o.name), refer(o.operands, o.input_count),
                          refer(o.operands + o.input_count, o.output_count),
                          parameters[4 * o.parameters : 4 * (o.parameters + o.parameter_count)],
                          bool(o.flags & AT_RESIZE))
                 for o in OPERATOR.all(part["operators"])]
    graphs = [Graph(string(g.name), require(g.operands, g.input_count),
                    require(g.operands + g.input_count, g.output_count),
                    operators[g.first_operator : g.first_operator + g.operator_count]) for g in rows]
    states = [State(tensors[s.tensor], tensors[s.next], None if s.initial == _NO_TENSOR else tensors[s.initial])
              for s in STATE.all(part["states"])]
    return File((header.major, header.minor), header.file_size, bool(header.flags & STATIC), header.plan_size,
                header.scratch_size, header.shared_size, header.shape_size, header.state_size,
                header.source_sha256.hex(), {SECTIONS[e.id]: e.size for e in table if e.id < len(SECTIONS)}, symbols,
                tensors, graphs, states, json.loads(part["metadata"] or b"{}"), part["weights"])


def _tensor(entry: SimpleNamespace, string: Callable[[int], str], symbols: list[str]) -> Tensor:
    def extent(d: int) -> int | str | None:
        return d if d >= 0 else symbols[-1 - d] if symbols else None

    name = string(entry.name)
    if entry.dtype not in DTYPES or entry.rank > 8:
        raise BadFileError(f"tensor {name!r} has an unknown dtype or too many axes")
    return Tensor(name, DTYPES[entry.dtype], tuple(map(extent, entry.dims[: entry.rank])), KINDS[entry.kind],
                  LAYOUTS[entry.layout], entry.offset, entry.size, entry.scale, entry.zero_point, entry.flags)


def _words(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data)
