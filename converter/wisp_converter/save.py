"""Write a file so that it is either complete or not there."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from .errors import ConvertError


class SaveError(ConvertError, OSError):
    """The file could not be written; nothing was left behind."""


def save(data: bytes, path: str | os.PathLike) -> None:
    """Write `data` to `path`: into a temporary file in the same folder, then renamed over it. SaveError when the
    folder is missing or the disk full; the old file, if any, then stays as it was."""
    path = Path(path)
    temporary = None
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except OSError as error:
        raise SaveError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
