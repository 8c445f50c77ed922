"""The annotated hex dump in docs/format.md: every byte of a tiny file that is not padding.

usage: format_dump.py      rewrites the dump in docs/format.md
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from support import make_model

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "format.md"
BLOCK = re.compile(r"(<!-- dump begin -->\n```\n)(.*?)(```\n<!-- dump end -->)", re.DOTALL)
PER_LINE = 16


def tiny_file() -> bytes:
    """y = max(x + 1, 0) for x of symbolic length n."""
    from wisp_converter import convert

    model = make_model([("Add", ["x", "one"], ["s"], {}, "plus"), ("Relu", ["s"], ["y"], {}, "relu")],
                       {"x": ["n"]}, {"y": ["n"]}, {"one": np.float32([1])})
    return convert(model, verify=False)


def dump(data: bytes) -> str:
    """Offset, bytes, field and value, line by line."""
    from wisp_converter.target import format as fmt

    lines = ["-- header"]
    header = np.frombuffer(data, fmt.HEADER, 1)[0]
    lines += _fields(data, 0, fmt.HEADER)
    table = np.frombuffer(data, fmt.SECTION, int(header["section_count"]), fmt.HEADER.itemsize)
    names = [fmt.SECTIONS[entry["id"]] for entry in table]
    for i, name in enumerate(names):
        lines += ["", f"-- section table, {name}"]
        lines += _fields(data, fmt.HEADER.itemsize + i * fmt.SECTION.itemsize, fmt.SECTION)
    structs = {"tensors": fmt.TENSOR, "graphs": fmt.GRAPH, "operators": fmt.OPERATOR}
    for name, entry in zip(names, table):
        start, size = int(entry["offset"]), int(entry["size"])
        for i in range(size // int(entry["entry_size"]) if name in structs else 1):
            lines += ["", f"-- {name}{f'[{i}]' if name in structs else ''}"]
            if name in structs:
                lines += _fields(data, start + i * structs[name].itemsize, structs[name])
            else:
                kind = str if name in ("strings", "metadata") else "<f4" if name == "weights" else "<u4"
                lines += _raw(data, start, size, kind)
    return "\n".join(lines) + "\n"


def _fields(data: bytes, base: int, dtype: np.dtype) -> list[str]:
    lines = []
    for name in dtype.names:
        field, offset = dtype.fields[name][:2]
        piece = data[base + offset:base + offset + field.itemsize]
        lines += _line(base + offset, piece, f"{name} = {_value(piece, field)}")
    return lines


def _value(piece: bytes, field: np.dtype) -> str:
    if field.names:
        return ", ".join(f"{n} {_value(piece[o:o + f.itemsize], f)}" for n, (f, o) in field.fields.items())
    values = np.frombuffer(piece, field.base)
    if field.base.itemsize == 1 and len(values) > 1:
        return "..."
    return " ".join(str(v) for v in values)


def _raw(data: bytes, start: int, size: int, kind) -> list[str]:
    lines = []
    for at in range(0, size, PER_LINE):
        piece = data[start + at:start + min(at + PER_LINE, size)]
        text = (piece.decode("latin-1").replace("\0", "·") if kind is str
                else " ".join(str(v) for v in np.frombuffer(piece, kind)))
        lines += _line(start + at, piece, text)
    return lines or ["(empty)"]


def _line(offset: int, piece: bytes, note: str) -> list[str]:
    rows = [piece[i:i + PER_LINE] for i in range(0, len(piece), PER_LINE)]
    return [f"{offset + i * PER_LINE:06x}  {row.hex(' '):<47}  {note if i == 0 else ''}".rstrip()
            for i, row in enumerate(rows)]


if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    fresh = dump(tiny_file())
    DOCUMENT.write_text(BLOCK.sub(lambda m: m.group(1) + fresh + m.group(3), text), encoding="utf-8")
