"""What can go wrong, and the one function that turns a status of the library into an exception."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations


class WispError(Exception):
    """Base of everything Wisp raises itself. Messages are one line."""


class BadFileError(WispError, ValueError):
    """The file is not a .wisp file, or is truncated, corrupted, or written by a newer converter."""


class UnsupportedError(WispError, NotImplementedError):
    """The file or the call needs something that this build or this machine does not have."""


class ShapeError(WispError, ValueError):
    """Shapes do not fit the model or each other, or a dynamic axis is left unbound."""


class DtypeError(WispError, TypeError):
    """An input has another element type than the model's."""


class ArgumentError(WispError, ValueError):
    """Unknown or missing names, or a value out of its range."""


class OutputError(WispError, ValueError):
    """An output that cannot be written without destroying something: an input, a folder, a disk."""


class InputIndexError(WispError, IndexError):
    """During a run: an index taken from the data is out of range."""


class ResultError(WispError, ArithmeticError):
    """A command ran a model, and the outputs are no numbers."""


class OutOfMemoryError(WispError, MemoryError):
    """The activations do not fit into memory."""


_BY_STATUS = {
    1: BadFileError,
    2: BadFileError,
    3: UnsupportedError,
    4: ShapeError,
    5: ArgumentError,
    6: OutOfMemoryError,
    7: InputIndexError,
}


def check(status: int, message: str) -> None:
    """Raise the exception that stands for `status` (a wisp_status) unless it is 0."""
    if status:
        raise _BY_STATUS.get(status, WispError)(message)
