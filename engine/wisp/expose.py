"""A copy of a .wisp file whose every activation is an output: what `wisp compare` looks at.

The plan is dropped, so the runtime makes one in which no value is overwritten before the end.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct

from .file import File, checksum, read

_HEADER_BYTES, _SECTION_BYTES, _TENSOR_BYTES = 128, 48, 72
_PLAN_SIZE, _HEADER_SUM = 32, 112  # offsets in the header
_OUTPUTS, _TENSORS = 3, 1  # section numbers


def expose(data: bytes) -> tuple[bytes, File]:
    """The changed file, and what the original holds. Raises BadFileError."""
    file = read(data)
    output = bytearray(data)
    wanted = [file.tensors.index(t) for t in file.outputs]
    made = {id(t) for o in file.operators for t in o.outputs if t is not None}
    wanted += [i for i, t in enumerate(file.tensors) if t.kind == "activation" and id(t) in made and i not in wanted]
    # the longer output section moves to the end, where there is room; sections must stay in order, so all later ones
    # are rebuilt behind it
    sections = [list(struct.unpack_from("<II5Q", data, _HEADER_BYTES + i * _SECTION_BYTES)) for i in range(10)]
    contents = [data[s[2] : s[2] + s[3]] for s in sections]
    contents[_OUTPUTS] = struct.pack(f"<{len(wanted)}I", *wanted)
    contents[_TENSORS] = _without_offsets(contents[_TENSORS])
    del output[_HEADER_BYTES + 10 * _SECTION_BYTES :]
    for i, content in enumerate(contents):
        output += bytes(-len(output) % (4096 if i == 9 else 64))
        struct.pack_into("<II5Q", output, _HEADER_BYTES + i * _SECTION_BYTES, i, sections[i][1], len(output), len(content),
                         *checksum(content), 0)
        output += content
    output += bytes(-len(output) % 64)
    struct.pack_into("<Q", output, 16, len(output))
    struct.pack_into("<QQ", output, _PLAN_SIZE, 0, 0)
    struct.pack_into("<QQ", output, _HEADER_SUM, 0, 0)
    struct.pack_into("<QQ", output, _HEADER_SUM, *checksum(output[: _HEADER_BYTES + 10 * _SECTION_BYTES]))
    return bytes(output), file


def _without_offsets(tensors: bytes) -> bytes:
    """Activations have no place in a file without a plan."""
    changed = bytearray(tensors)
    for start in range(0, len(changed), _TENSOR_BYTES):
        if changed[start + 6] == 0:  # kind: activation
            struct.pack_into("<Q", changed, start + 40, 0)
    return bytes(changed)
