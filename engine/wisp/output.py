"""Outputs that destroy nothing: whole or not there, never an input, and links, pipes and devices stay what they are."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import errno
import glob
import os
import signal
import stat
import sys
import warnings
from collections.abc import Iterable, Iterator
from secrets import token_hex

from .errors import OutputError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]

Paths = Iterable["str | os.PathLike[str]"]
Pieces = Iterable["bytes | memoryview"]


def check_output(path: str | os.PathLike[str], inputs: Paths = ()) -> None:
    """Whether `path` can be written, before work is done for it; "-" is standard output.

    inputs: files, and folders of files, that must stay as they are, under whatever name `path` leads to them.
    Raises OutputError for what is no place for an output, OSError where the system refuses.
    """
    path = os.fspath(path)
    if not path or path.endswith(os.sep):
        raise OutputError(f"{path or repr(path)}: expected the name of a file")
    if path == "-":
        if sys.stdout is None or sys.stdout.isatty():
            raise OutputError("-: bytes are not for a terminal; send them to a file or a command")
        found: os.stat_result | None = os.fstat(sys.stdout.fileno())
    else:
        found = _stat(path)
    if found is None:
        _check_folder(path)
    elif stat.S_ISDIR(found.st_mode):
        raise OutputError(f"{path}: is a folder")
    elif not (stat.S_ISREG(found.st_mode) or _is_stream(found)):
        raise OutputError(f"{path}: is neither a file nor a pipe nor a character device")
    else:
        for one in _files(inputs):
            with contextlib.suppress(OSError):
                if os.path.samestat(found, os.stat(one)) and not _is_stream(found):
                    raise OutputError(f"{path}: is the same file as the input {one}")
        if stat.S_ISREG(found.st_mode) and path != "-":
            _check_folder(path)
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, "is write-protected", path)


def write_output(path: str | os.PathLike[str], data: bytes | Pieces, inputs: Paths = ()) -> None:
    """Write `data`, or the pieces it consists of, so that `path` is the old file or the whole new one at every moment,
    and nothing else is left behind, whatever happens, SIGKILL included (on file systems without nameless files that
    can leave `.NAME.*.part`, which the next output of this name removes).

    A link keeps leading to the file, a file keeps its mode; a pipe or character device is written to. `inputs` and
    errors: see check_output.
    """
    path = os.fspath(path)
    check_output(path, inputs)
    pieces: Pieces = [data] if isinstance(data, (bytes, bytearray, memoryview)) else data
    try:
        old = None if path == "-" else _stat(path)
        if path == "-":
            sys.stdout.flush()
            sys.stdout.buffer.writelines(pieces)
            sys.stdout.buffer.flush()
        elif old is not None and _is_stream(old):
            with open(path, "wb") as stream:
                stream.writelines(pieces)
        else:
            _replace(os.path.realpath(path), old, pieces)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _is_stream(found: os.stat_result) -> bool:
    return stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode)


def _check_folder(path: str) -> None:
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"the folder {folder} is write-protected", path)


def _files(inputs: Paths) -> Iterator[str]:
    for given in inputs:
        one = os.fspath(given)
        yield one
        if os.path.isdir(one):
            with os.scandir(one) as entries:
                yield from (entry.path for entry in entries)


def _replace(path: str, old: os.stat_result | None, pieces: Pieces) -> None:
    """`path` has no links in it. The new file has no name until it is whole, where the file system can do that."""
    folder, name = os.path.split(path)
    _remove_stale(folder, name)
    part = os.path.join(folder, f".{name}.{token_hex(4)}.part")
    descriptor = _open_nameless(folder)
    nameless = descriptor is not None
    if descriptor is None:
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with open(descriptor, "wb") as stream:
            _lock(descriptor)
            stream.writelines(pieces)
            stream.flush()
            if old is not None:
                _take_over(descriptor, old)
            os.fsync(descriptor)
            if nameless:
                _give_name(descriptor, part, path)
            else:
                if os.name == "nt":
                    stream.close()
                os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def _open_nameless(folder: str) -> int | None:
    """A file in `folder` that is gone when nobody has it open any more; None where there is no such thing."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except (AttributeError, OSError):
        return None


def _give_name(descriptor: int, part: str, path: str) -> None:
    """A new name is given in one step. A name that is taken needs two, and whoever is killed between them leaves
    `part` behind: they are done by a child of which no signal to this process or its group knows."""
    source = f"/proc/self/fd/{descriptor}"

    def link(name: str) -> None:
        # with a folder for the (absolute) name Python follows the link in /proc, without one it does not
        os.link(source, name, dst_dir_fd=descriptor, follow_symlinks=True)

    try:
        link(path)
        return
    except FileExistsError:
        pass
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = _fork()
    try:
        if child == 0:
            os.setsid()
        if child <= 0:
            link(part)
            os.replace(part, path)
    finally:
        if child == 0:
            os._exit(0)
        with contextlib.suppress(ChildProcessError):  # there is none, or SIGCHLD is ignored
            if child > 0:
                os.waitpid(child, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if not os.path.samestat(os.fstat(descriptor), os.stat(path)):
        raise OSError(errno.EIO, "the new file cannot be given this name", path)


def _fork() -> int:
    """As os.fork; -1 where there can be no more processes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of other threads: the child makes three system calls
        try:
            return os.fork()
        except OSError:
            return -1


def _take_over(descriptor: int, old: os.stat_result) -> None:
    """Owner, as far as that is allowed, and mode of the old file."""
    if hasattr(os, "fchown"):
        with contextlib.suppress(OSError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, old.st_mode & 0o777)


def _lock(descriptor: int) -> None:
    if fcntl is not None:
        with contextlib.suppress(OSError):  # not every file system can
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_stale(folder: str, name: str) -> None:
    """Remove what a killed process left where files cannot be nameless; one still at work has its file locked."""
    for part in glob.glob(os.path.join(glob.escape(folder), f".{glob.escape(name)}.*.part")):
        with contextlib.suppress(OSError), open(part, "rb") as stream:
            if fcntl is None:
                stream.close()
            else:
                fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(part)
