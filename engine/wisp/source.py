"""Where a model comes from: a path, a pipe, bytes, a mapped file; as memory that the library can open."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import mmap
import os
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from ._library import aligned, ffi, lib, new_error, pointer, text
from .errors import BadFileError, check

Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, mmap.mmap]


def map_file(source: Source) -> NDArray[np.uint8]:
    """The file on a multiple of WISP_ALIGNMENT."""
    if isinstance(source, mmap.mmap):
        return np.frombuffer(source, np.uint8)
    if isinstance(source, (bytes, bytearray, memoryview)):
        if not len(source):
            raise BadFileError("the file is empty")
        copy = aligned(len(source))
        copy[:] = np.frombuffer(source, np.uint8)
        return copy
    with open(source, "rb") as file:
        if not os.path.isfile(source):  # a pipe, which can be read but not mapped
            return map_file(file.read())
        if os.fstat(file.fileno()).st_size == 0:
            raise BadFileError(f"{os.fspath(source)} is empty")
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def open_model(data: NDArray[np.uint8], source: Source) -> Any:
    """The library's model of a mapped file, which must stay alive."""
    model, error, path = ffi.new("wisp_model *"), new_error(), _path(source)
    status = lib.wisp_open(model, pointer(data), data.size, error)
    check(status, f"{path}: {text(error.message)}" if path else text(error.message))
    return model


def lasting_path(source: Source) -> str:
    """Where the same file can be opened again from anywhere; empty for what lies in memory or came from a pipe."""
    path = _path(source)
    return os.path.abspath(path) if os.path.isfile(path) else ""


def _path(source: Source) -> str:
    return "" if isinstance(source, (bytes, bytearray, memoryview, mmap.mmap)) else os.fspath(source)


def session_size(source: Source) -> int:
    """Bytes of one session of a .wisp file besides its arena; nothing is prepared.
    Raises what `load` raises for bad files."""
    data = map_file(source)
    return int(lib.wisp_session_size(open_model(data, source)))
