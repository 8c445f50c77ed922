"""The .wisp file: numpy's view of the structs in format.h, and the writer. Normative text: docs/format.md."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import ml_dtypes
import numpy as np

from ..ir import Graph, Value, all_graphs
from ..opcodes import opcodes, pack_parameters

MAGIC, MAJOR, MINOR = 0x50534957, 1, 0  # minor: the lowest that can read what this writer writes
SECTIONS = ("symbols", "tensors", "graphs", "states", "operators", "operands", "parameters", "strings", "metadata",
            "weights")
"""Names of the sections by id."""

NO_TENSOR = 0xFFFFFFFF
KIND_ACTIVATION, KIND_CONSTANT, KIND_SHAPE, KIND_STATE = range(4)
PLAIN = 0  # the layout of all but packed constants, which opcodes.layouts() numbers
TENSOR_TEXT, TENSOR_FULL_RANGE = 1, 2
FILE_STATIC, SECTION_OPTIONAL, OPERATOR_AT_RESIZE = 1, 1, 1
ALIGNMENT, PAGE = 64, 4096

CHECKSUM = np.dtype([("a", "<u8"), ("b", "<u8")])
HEADER = np.dtype([
    ("magic", "<u4"), ("major", "<u2"), ("minor", "<u2"), ("section_count", "<u4"), ("flags", "<u4"),
    ("file_size", "<u8"), ("shared_size", "<u8"), ("plan_size", "<u8"), ("scratch_size", "<u8"), ("shape_size", "<u8"),
    ("source_sha256", "u1", 32), ("state_size", "<u8"), ("reserved", "<u8", 2), ("checksum", CHECKSUM)])
SECTION = np.dtype([("id", "<u4"), ("entry_size", "<u4"), ("offset", "<u8"), ("size", "<u8"), ("checksum", CHECKSUM),
                    ("flags", "<u4"), ("reserved", "<u4")])
TENSOR = np.dtype([
    ("name", "<u4"), ("dtype", "u1"), ("rank", "u1"), ("kind", "u1"), ("layout", "u1"), ("dims", "<i4", 8),
    ("offset", "<u8"), ("size", "<u8"), ("scale", "<f4"), ("zero_point", "<i4"),
    ("block", "<u4"), ("flags", "<u2"), ("ring", "<u2")])
GRAPH = np.dtype([
    ("first_operator", "<u4"), ("operator_count", "<u4"), ("operands", "<u4"), ("input_count", "<u4"),
    ("output_count", "<u4"), ("name", "<u4"), ("reserved", "<u4", 2)])
STATE = np.dtype([("tensor", "<u4"), ("next", "<u4"), ("initial", "<u4"), ("flags", "<u4")])
OPERATOR = np.dtype([
    ("code", "<u2"), ("flags", "<u2"), ("input_count", "<u2"), ("output_count", "<u2"), ("name", "<u4"),
    ("operands", "<u4"), ("parameters", "<u4"), ("parameter_count", "<u4"), ("reserved", "<u8")])
CHANNELS = np.dtype([("bias", "<i4", 16), ("bias_u8", "<i4", 16), ("shift", "<i4", 16), ("multiplier", "<i4", 16)])

ENTRY_SIZES = {"tensors": TENSOR.itemsize, "graphs": GRAPH.itemsize, "states": STATE.itemsize,
               "operators": OPERATOR.itemsize, "symbols": 4, "operands": 4, "parameters": 4, "strings": 1,
               "metadata": 1, "weights": 1}

DTYPES = {np.dtype(n): code for n, code in (
    ("float32", 1), ("uint8", 2), ("int8", 3), ("uint16", 4), ("int16", 5), ("int32", 6), ("int64", 7), ("bool", 9),
    ("float16", 10), ("float64", 11), ("uint32", 12), ("uint64", 13), (ml_dtypes.bfloat16, 16),
    (ml_dtypes.float8_e4m3fn, 17), (ml_dtypes.float8_e4m3fnuz, 18), (ml_dtypes.float8_e5m2, 19),
    (ml_dtypes.float8_e5m2fnuz, 20), (ml_dtypes.uint4, 21), (ml_dtypes.int4, 22), (ml_dtypes.float4_e2m1fn, 23),
    (ml_dtypes.float8_e8m0fnu, 24), (ml_dtypes.uint2, 25), (ml_dtypes.int2, 26))}
"""Element types and their numbers (those of ONNX's TensorProto.DataType)."""

HALF = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
NARROW = frozenset(dtype for dtype, code in DTYPES.items() if code > 16)
"""Those that the runtime stores and converts, and does not compute with."""


def is_float(dtype: np.dtype) -> bool:
    return "float" in dtype.name


def element_bits(dtype: np.dtype) -> int:
    """Bits that count in an element; those below 8 are stored in a byte."""
    digits = "".join(c for c in dtype.name.split("_")[0] if c.isdigit())
    return int(digits) if digits else 8 * dtype.itemsize


@dataclass(frozen=True)
class State:
    """A value that outlives a run: after a successful one `next`, a value of the model, is copied over `tensor`, which
    no node computes. `initial`: a constant; None: zeros. All of one dtype and shape."""

    tensor: Value
    next: Value
    initial: Value | None = None


@dataclass
class Plan:
    """Where values live, see plan.py. Offsets are bytes: of activations from where they start, of values computed while
    shapes are planned in shape memory, of states in the state. `is_static`: every activation has its place."""

    offsets: dict[Value, int] = field(default_factory=dict)
    shape_offsets: dict[Value, int] = field(default_factory=dict)
    state_offsets: dict[Value, int] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    plan_size: int = 0
    scratch_size: int = 0
    shared_size: int = 0
    shape_size: int = 0
    state_size: int = 0
    is_static: bool = False


def round_up(n: int, to: int) -> int:
    return -(-n // to) * to


def checksum(data, before: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Fletcher sums over the 32-bit words of `data`, zero-padded to a multiple of four bytes, continued from the sums
    of what stands `before` it.

    After n words, a = w0 + ... + w(n-1) and b = n*w0 + (n-1)*w1 + ... + 1*w(n-1), both modulo 2^64: numpy's
    unsigned arithmetic wraps just so.
    """
    data = np.frombuffer(data, np.uint8)
    whole = len(data) & ~3
    tail = data[whole:].tobytes()
    a, b = (np.full(1, n, np.uint64) for n in before)
    for words in (data[:whole].view("<u4"), np.frombuffer(tail.ljust(round_up(len(tail), 4), b"\0"), "<u4")):
        for start in range(0, len(words), 1 << 18):  # in pieces, so that the temporary arrays stay small
            piece = words[start:start + (1 << 18)].astype(np.uint64)
            n = len(piece)
            b = b + np.uint64(n) * a + (piece * np.arange(n, 0, -1, dtype=np.uint64)).sum(dtype=np.uint64)
            a = a + piece.sum(dtype=np.uint64)
    return int(a[0]), int(b[0])


def digest(array: np.ndarray) -> bytes:
    """What stands for an array's bytes where equal ones are looked for."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8)).digest()


def tensor_size(value: Value) -> int:
    """Bytes of a value; 0 while unknown. Packed constants count their stored bytes."""
    if value.data is not None:
        return value.data.nbytes
    if not value.is_static:
        return 0
    return int(np.prod(value.shape, dtype=np.int64)) * value.dtype.itemsize


def tensor_table(graph: Graph, states: list[State]) -> list[Value]:
    """Every value once, in the order of the file: graph by graph in order of appearance, then what only states name."""
    named = [v for state in states for v in (state.tensor, state.next, state.initial) if v is not None]
    return list(dict.fromkeys([*(v for g in all_graphs(graph) for v in g.values()), *named]))


def write(graph: Graph, plan: Plan, *, source_sha256: bytes = bytes(32), metadata: bytes = b"{}") -> bytes:
    """The file. The same graph, plan and metadata give the same bytes."""
    file = io.BytesIO()
    write_to(file, graph, plan, source_sha256=source_sha256, metadata=metadata)
    return file.getvalue()


def write_to(file: BinaryIO, graph: Graph, plan: Plan, *, source_sha256: bytes = bytes(32),
             metadata: bytes = b"{}") -> None:
    """As `write`, into an empty file that can be sought: one constant after the other, so that packed weights need no
    memory together."""
    strings, symbols = _Strings(), _symbols(graph)
    values = tensor_table(graph, plan.states)
    index = {v: i for i, v in enumerate(values)}
    tensors, inputs = np.zeros(len(values), TENSOR), set(graph.inputs)
    for entry, value in zip(tensors, values):
        _fill_tensor(entry, value, strings, plan, symbols if value in inputs else {})
    graphs, operators, operands, parameters = _graphs(graph, plan, index, strings)
    contents = {
        "symbols": np.array([strings.add(s) for s in symbols], "<u4"),
        "tensors": tensors,
        "graphs": graphs,
        "states": _states(plan, index),
        "operators": operators,
        "operands": np.array(operands, "<u4"),
        "parameters": parameters,
        "strings": bytes(strings.data),
        "metadata": metadata,
    }
    header = np.zeros((), HEADER)
    header["magic"], header["major"], header["minor"] = MAGIC, MAJOR, MINOR
    header["flags"] = FILE_STATIC if plan.is_static else 0
    for name in ("plan_size", "scratch_size", "shared_size", "shape_size", "state_size"):
        header[name] = getattr(plan, name)
    header["source_sha256"] = np.frombuffer(source_sha256, np.uint8)
    has_weights = any(v.data is not None and v.data.nbytes for v in values)
    assemble(file, header, contents, _weights(values, tensors) if has_weights else None)


def assemble(file: BinaryIO, header: np.ndarray, contents: dict[str, bytes | np.ndarray],
             weights: Iterable | None = None) -> None:
    """Lay out the sections that hold something, fill in sizes, offsets and checksums, and write all into an empty file.

    weights: the pieces of that section, each but the last of whole words. They are written first; until then the other
    contents may change, but not their sizes.
    """
    sizes = {name: memoryview(data).nbytes for name, data in contents.items()}
    present = [name for name in SECTIONS if sizes.get(name) or (name == "weights" and weights is not None)]
    table = np.zeros(len(present), SECTION)
    position = HEADER.itemsize + table.nbytes
    for entry, name in zip(table, present):
        entry["id"], entry["entry_size"] = SECTIONS.index(name), ENTRY_SIZES[name]
        entry["offset"] = round_up(position, PAGE if name == "weights" else ALIGNMENT)
        position = int(entry["offset"]) + sizes.get(name, 0)
    for entry, name in zip(table[::-1], present[::-1]):
        file.seek(int(entry["offset"]))
        sums = 0, 0
        for piece in [contents[name]] if name in sizes else weights:
            file.write(memoryview(piece))
            entry["size"] += memoryview(piece).nbytes
            sums = checksum(piece, sums)
        entry["checksum"] = sums
    end = int(table[-1]["offset"] + table[-1]["size"]) if len(table) else position
    file.seek(end)
    file.write(bytes(round_up(end, ALIGNMENT) - end))
    header["section_count"], header["file_size"] = len(table), round_up(end, ALIGNMENT)
    write_header(file, header, table)


def write_header(file: BinaryIO, header: np.ndarray, table: np.ndarray) -> None:
    """Write header and section table, with their checksum."""
    header["checksum"] = (0, 0)
    header["checksum"] = checksum(header.tobytes() + table.tobytes())
    file.seek(0)
    file.write(header.tobytes() + table.tobytes())
    file.flush()


class _Strings:
    """The string section: each text once, zero-terminated; offset 0 is the empty one."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")
        self.offsets = {"": 0}

    def add(self, text: str) -> int:
        text = text.replace("\0", "")
        if text not in self.offsets:
            self.offsets[text] = len(self.data)
            self.data += text.encode("utf-8", "replace") + b"\0"
        return self.offsets[text]


def _symbols(graph: Graph) -> dict[str, int]:
    """Symbolic axes of the inputs, numbered in order of appearance."""
    names = (d for v in graph.inputs for d in v.shape if isinstance(d, str))
    return {name: k for k, name in enumerate(dict.fromkeys(names))}


def _weights(values: list[Value], tensors: np.ndarray) -> Iterator[np.ndarray | bytes]:
    """The weights section in pieces. On the way `tensors` learn each constant's offset in it, and whether int8 weights
    have the full range; equal bytes are stored once."""
    alike = Counter(v.data.nbytes for v in values if v.data is not None)
    known: dict[bytes | Value, int] = {}
    end, tail = 0, b""  # of the section; what is not written yet
    for entry, value in zip(tensors, values):
        if value.data is None:
            continue
        array = np.ascontiguousarray(value.data)
        if value.layout != PLAIN and value.dtype == np.int8 and (array == -128).any():
            entry["flags"] = TENSOR_FULL_RANGE
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8)
        key = digest(data) if alike[data.nbytes] > 1 else value
        if key not in known:
            yield tail.ljust(round_up(len(tail), ALIGNMENT), b"\0")
            known[key] = round_up(end, ALIGNMENT)
            end = known[key] + data.nbytes
            whole = data.nbytes // ALIGNMENT * ALIGNMENT
            yield data[:whole]
            tail = data[whole:].tobytes()
        entry["offset"] = known[key]
    yield tail


def _fill_tensor(entry, value: Value, strings: _Strings, plan: Plan, symbols: dict[str, int]) -> None:
    """All but what only the bytes of a constant tell, see _weights."""
    dims = value.dims if value.dims is not None else value.shape
    entry["name"] = strings.add(value.name)
    entry["dtype"], entry["rank"], entry["layout"] = DTYPES[value.dtype], len(dims), value.layout
    entry["dims"][:len(dims)] = [d if isinstance(d, int) else -1 - symbols[d] if d in symbols else -1 for d in dims]
    entry["size"] = tensor_size(value)
    entry["scale"], entry["zero_point"] = value.scale, value.zero_point
    if value.data is not None:
        entry["kind"] = KIND_CONSTANT
    elif value in plan.shape_offsets:
        entry["kind"], entry["offset"] = KIND_SHAPE, plan.shape_offsets[value]
    elif value in plan.state_offsets:
        entry["kind"], entry["offset"] = KIND_STATE, plan.state_offsets[value]
    else:
        entry["kind"], entry["offset"] = KIND_ACTIVATION, plan.offsets.get(value, 0)


def _graphs(graph: Graph, plan: Plan, index: dict[Value, int], strings: _Strings):
    """The graph and operator tables, the operands and the parameters."""
    graphs = all_graphs(graph)
    place = {id(g): i for i, g in enumerate(graphs)}
    table, operators = np.zeros(len(graphs), GRAPH), np.zeros(sum(len(g.nodes) for g in graphs), OPERATOR)
    operands: list[int] = []
    parameters, shared = bytearray(), {b"": 0}
    done = 0
    for row, one in zip(table, graphs):
        row["first_operator"], row["operator_count"] = done, len(one.nodes)
        for entry, node in zip(operators[done:], one.nodes):
            words = pack_parameters(node.op, node.attrs, lambda g: place[id(g)])
            if words not in shared:
                shared[words] = len(parameters) // 4
                parameters += words
            entry["code"], entry["name"] = opcodes()[node.op].code, strings.add(node.name)
            entry["flags"] = OPERATOR_AT_RESIZE if any(v in plan.shape_offsets for v in node.outputs) else 0
            entry["input_count"], entry["output_count"] = len(node.inputs), len(node.outputs)
            entry["operands"], entry["parameters"] = len(operands), shared[words]
            entry["parameter_count"] = len(words) // 4
            operands += [NO_TENSOR if v is None else index[v] for v in (*node.inputs, *node.outputs)]
        done += len(one.nodes)
        row["operands"], row["input_count"], row["output_count"] = len(operands), len(one.inputs), len(one.outputs)
        operands += [index[v] for v in (*one.inputs, *one.outputs)]
    return table, operators, operands, bytes(parameters)


def _states(plan: Plan, index: dict[Value, int]) -> np.ndarray:
    rows = [(index[s.tensor], index[s.next], NO_TENSOR if s.initial is None else index[s.initial], 0)
            for s in plan.states]
    return np.array(sorted(rows), STATE)
