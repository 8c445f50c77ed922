"""A second reader of the .wisp file, from the text of docs/format.md alone: for `wisp inspect` and the tests.

It shares no code with the converter's writer or the C reader, so that each checks the others.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass, field

import numpy as np

from .errors import BadFileError

SECTIONS = ("symbols", "tensors", "inputs", "outputs", "operators", "operands", "parameters", "strings", "metadata",
            "weights")
ENTRY_SIZES = (4, 72, 4, 4, 32, 4, 4, 1, 1, 1)
KINDS = ("activation", "constant", "shape")
LAYOUTS = ("plain", "gemm_s8", "gemm_f32", "dw_s8", "dw_f32", "channels")
DTYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
          11: "float64", 12: "uint32", 13: "uint64"}

_HEADER = struct.Struct("<IHHII5Q32s3Q2Q")
_SECTION = struct.Struct("<II5Q")
_TENSOR = struct.Struct("<I4B8iQQfiQ")
_OPERATOR = struct.Struct("<HBB5IQ")
_NO_TENSOR = 0xFFFFFFFF


@dataclass(frozen=True)
class Tensor:
    """`dims`: extents; in an input the name of a symbolic axis; None where only a run can tell. `offset`: in the
    arena, the weights or the shape memory, as `kind` says. `size`: bytes, 0 while unknown."""

    name: str
    dtype: str
    dims: tuple[int | str | None, ...]
    kind: str
    layout: str
    offset: int
    size: int
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Operator:
    """`code` as in ops.def. `inputs`, `outputs`: tensors, None where optional ones are left out."""

    code: int
    name: str
    inputs: list[Tensor | None]
    outputs: list[Tensor | None]
    parameters: bytes
    at_prepare: bool


@dataclass
class File:
    """A checked file. Sizes are bytes; arena = plan_size + threads * scratch_size, both 0 when shapes are dynamic."""

    version: tuple[int, int]
    size: int
    session_size: int
    plan_size: int
    scratch_size: int
    shape_size: int
    source_sha256: str
    section_sizes: dict[str, int]
    symbols: list[str]
    tensors: list[Tensor]
    inputs: list[Tensor]
    outputs: list[Tensor]
    operators: list[Operator]
    metadata: dict
    weights: bytes = field(repr=False)

    @property
    def is_dynamic(self) -> bool:
        return self.plan_size == 0 and any(t.size == 0 and None in t.dims or t in self.inputs and any(
            isinstance(d, str) for d in t.dims) for t in self.tensors)

    def arena_size(self, threads: int) -> int:
        return self.plan_size + threads * self.scratch_size


def checksum(data: bytes) -> tuple[int, int]:
    """The two Fletcher sums over little-endian 32-bit words; `data` is padded with zeros to a multiple of 4."""
    words = np.frombuffer(bytes(data) + bytes(-len(data) % 4), "<u4").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64)
    return int(words.sum(dtype=np.uint64)), int((words * weights).sum(dtype=np.uint64))


def read(source: str | os.PathLike | bytes) -> File:
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


def _parse(data: bytes) -> File:
    header, table = _sections(data)
    (_, major, minor, _, _, size, session_size, plan_size, scratch_size, shape_size, digest, *_) = header
    part = {name: data[offset : offset + length] for name, (offset, length) in zip(SECTIONS, table)}

    def string(offset: int) -> str:
        return part["strings"][offset : part["strings"].index(0, offset)].decode("utf-8")

    symbols = [string(o) for o in _words(part["symbols"])]
    interface = _words(part["inputs"])
    tensors = [_tensor(entry, string, symbols if i in interface else [])
               for i, entry in enumerate(_TENSOR.iter_unpack(part["tensors"]))]
    operands, parameters = _words(part["operands"]), part["parameters"]

    def refer(begin: int, count: int) -> list[Tensor | None]:
        return [None if operands[i] == _NO_TENSOR else tensors[operands[i]] for i in range(begin, begin + count)]

    operators = [Operator(code, string(name), refer(first, n_in), refer(first + n_in, n_out),
                          parameters[4 * words : 4 * (words + n_words)], bool(flags & 1))
                 for code, n_in, n_out, name, first, words, n_words, flags, _ in _OPERATOR.iter_unpack(part["operators"])]
    metadata = json.loads(part["metadata"] or b"{}")
    return File((major, minor), size, session_size, plan_size, scratch_size, shape_size, digest.hex(),
                {n: length for n, (_, length) in zip(SECTIONS, table)}, symbols, tensors, [tensors[i] for i in interface],
                [tensors[i] for i in _words(part["outputs"])], operators, metadata, part["weights"])


def _sections(data: bytes) -> tuple[tuple, list[tuple[int, int]]]:
    """The header's fields and (offset, size) of every section, all checksums verified."""
    if len(data) < 8 or data[:4] != b"WISP":
        raise BadFileError("not a .wisp file")
    end = _HEADER.size + len(SECTIONS) * _SECTION.size
    if len(data) < end:
        raise BadFileError("the file is truncated inside the header")
    header = _HEADER.unpack_from(data)
    if header[1] != 1 or header[2] > 0:
        raise BadFileError(f"file format version is {header[1]}.{header[2]}, this reader knows 1.0")
    if header[5] != len(data):
        raise BadFileError(f"the file has {len(data)} bytes, its header says {header[5]}")
    if header[3] != len(SECTIONS) or header[4]:
        raise BadFileError("unknown sections or flags in the header")
    if checksum(data[:112] + bytes(16) + data[128:end]) != header[-2:]:
        raise BadFileError("the header is damaged: its checksum does not match")
    table = []
    for i, name in enumerate(SECTIONS):
        number, entry, offset, size, a, b, _ = _SECTION.unpack_from(data, _HEADER.size + i * _SECTION.size)
        padded = size + -size % 4
        if number != i or entry != ENTRY_SIZES[i] or size % entry or offset % 64 or offset < end or offset + padded > len(data):
            raise BadFileError(f"bad bounds of section {name}")
        if checksum(data[offset : offset + padded]) != (a, b):
            raise BadFileError(f"the file is damaged: checksum does not match in section {name}")
        table.append((offset, size))
        end = offset + padded
    return header, table


def _tensor(entry: tuple, string, symbols: list[str]) -> Tensor:
    name, dtype, rank, kind, layout, *dims = entry[:13]
    offset, size, scale, zero_point, _ = entry[13:]

    def extent(d: int) -> int | str | None:
        return d if d >= 0 else symbols[-1 - d] if symbols else None

    if dtype not in DTYPES or rank > 8:
        raise BadFileError(f"tensor {string(name)!r} has an unknown dtype or too many axes")
    return Tensor(string(name), DTYPES[dtype], tuple(map(extent, dims[:rank])), KINDS[kind], LAYOUTS[layout], offset, size,
                  scale, zero_point)


def _words(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data)
