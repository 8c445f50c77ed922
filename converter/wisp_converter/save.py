"""Write a file so that it is either complete or not there."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Iterable

from .errors import ConvertError
from .runner import write_output


class SaveError(ConvertError, OSError):
    """The file could not be written; nothing was left behind."""


def save(data: bytes | Iterable[bytes], path: str | os.PathLike, inputs: Iterable[str | os.PathLike] = ()) -> None:
    """Write `data`, or the pieces it consists of, to `path`, which is the old file or the whole new one at every
    moment. A link keeps leading to the file, a file keeps its mode, a pipe or character device is written to.

    SaveError when the folder is missing or the disk full, when `path` is a folder, or one of `inputs`: files, and
    folders of files, that must stay as they are.
    """
    write_output(data, path, inputs, SaveError)
