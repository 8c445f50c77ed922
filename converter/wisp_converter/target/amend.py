"""What is known only when a file is written and was run: sizes in its header, and its metadata."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import BinaryIO

import numpy as np

from .format import ALIGNMENT, HEADER, PAGE, SECTION, SECTIONS, checksum, round_up, write_header

PIECE = 4 << 20


def amend(file: BinaryIO, *, metadata: bytes | None = None, **fields: int) -> None:
    """Change the metadata, and fields of the header, of a file from format.write_to, into what write_to would have made
    of them at once. Weights move only where longer metadata need their place."""
    header = np.frombuffer(_read(file, 0, HEADER.itemsize), HEADER)[0].copy()
    table = np.frombuffer(_read(file, HEADER.itemsize, header["section_count"] * SECTION.itemsize), SECTION).copy()
    for name, value in fields.items():
        header[name] = value
    if metadata is not None:
        rows = {SECTIONS[entry["id"]]: entry for entry in table}
        entry, weights = rows["metadata"], rows.get("weights")
        entry["size"], entry["checksum"] = len(metadata), checksum(metadata)
        start = int(entry["offset"])
        end = start + len(metadata)
        if weights is not None:
            room = round_up(end, PAGE) - start
            _move(file, int(weights["offset"]), start + room, int(weights["size"]))
            weights["offset"] = start + room
            _write(file, start, metadata.ljust(room, b"\0"))
            end = int(weights["offset"] + weights["size"])
        else:
            _write(file, start, metadata)
        header["file_size"] = round_up(end, ALIGNMENT)
        _write(file, end, bytes(int(header["file_size"]) - end))
        file.truncate()
    write_header(file, header, table)


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _write(file: BinaryIO, at: int, data: bytes) -> None:
    file.seek(at)
    file.write(data)


def _move(file: BinaryIO, old: int, new: int, size: int) -> None:
    """Copy `size` bytes inside the file, from the end that is not overwritten before it is read."""
    if new != old:
        starts = range(0, size, PIECE)
        for start in starts if new < old else reversed(starts):
            _write(file, new + start, _read(file, old + start, min(PIECE, size - start)))
