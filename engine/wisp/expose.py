"""A copy of a .wisp file whose every activation is an output: what `wisp compare` looks at.

The plan is dropped, so the runtime makes one in which no value is overwritten before the end.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
from types import SimpleNamespace

from .file import GRAPH, HEADER, KINDS, SECTION, SECTIONS, TENSOR, File, Tensor, checksum, read, sections

_ACTIVATION, _WEIGHTS = KINDS.index("activation"), SECTIONS.index("weights")


def expose(data: bytes) -> tuple[bytes, File]:
    """The changed file, and what the original holds. Raises BadFileError.
    Values inside loops and branches stay hidden."""
    file, (_, table) = read(data), sections(data)
    contents = {e.id: bytearray(data[e.offset : e.offset + e.size]) for e in table}
    graphs, operands, tensors = (contents[SECTIONS.index(name)] for name in ("graphs", "operands", "tensors"))
    wanted = list(dict.fromkeys([*file.outputs, *_computed(file)]))
    index = {id(t): i for i, t in enumerate(file.tensors)}
    interface = [index[id(t)] for t in [*file.inputs, *wanted]]
    GRAPH.put(graphs, 0, operands=len(operands) // 4, output_count=len(wanted))
    operands += struct.pack(f"<{len(interface)}I", *interface)
    for i, tensor in enumerate(TENSOR.all(tensors)):
        if tensor.kind == _ACTIVATION:  # these have no place in a file without a plan
            TENSOR.put(tensors, i * TENSOR.size, offset=0)
    return _assemble(data[: HEADER.size], table, contents), file


def _computed(file: File) -> list[Tensor]:
    made = {id(t) for o in file.graphs[0].operators for t in o.outputs if t is not None}
    return [t for t in file.tensors if t.kind == "activation" and id(t) in made]


def _assemble(header: bytes, table: list[SimpleNamespace], contents: dict[int, bytearray]) -> bytes:
    """The file with these sections and no plan."""
    output = bytearray(header) + bytes(len(table) * SECTION.size)
    for i, entry in enumerate(table):
        content = contents[entry.id]
        output += bytes(-len(output) % (4096 if entry.id == _WEIGHTS else 64))
        SECTION.put(output, HEADER.size + i * SECTION.size, id=entry.id, entry_size=entry.entry_size,
                    offset=len(output), size=len(content), checksum=checksum(content), flags=entry.flags)
        output += content
    output += bytes(-len(output) % 64)
    HEADER.put(output, 0, file_size=len(output), flags=0, plan_size=0, scratch_size=0, shared_size=0, checksum=(0, 0))
    HEADER.put(output, 0, checksum=checksum(output[: HEADER.size + len(table) * SECTION.size]))
    return bytes(output)
