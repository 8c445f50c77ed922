"""The library's worker threads, which all sessions of a model share."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import threading
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._library import aligned, ffi, lib, pointer
from .errors import UnsupportedError, check


class Pool:
    """`threads` - 1 workers. They stop when the last session using them is gone, or at exit."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._memory = aligned(lib.wisp_pool_size(threads))
        self.handle = ffi.cast("wisp_pool *", pointer(self._memory))
        self._owner: list[int] = []  # the process whose threads they are
        self._locks: dict[int, threading.Lock] = {}  # by process: that of a parent may be held for ever
        self._start()
        weakref.finalize(self, _stop, self.handle, self._memory, self._owner)

    def _start(self) -> None:
        status = lib.wisp_pool_start(self.handle, self._threads)
        if status == lib.WISP_UNSUPPORTED:
            raise UnsupportedError("this build of libwisp has no threads; use threads=1")
        check(status, f"cannot start {self._threads - 1} threads")
        self._owner[:] = [os.getpid()]

    def run(self, session: Any, error: Any) -> int:
        """wisp_run of a session that uses these threads; in a forked child they are started anew."""
        self.ensure()
        return int(lib.wisp_run(session, error))

    def ensure(self) -> None:
        """Call before any run."""
        if self._owner[0] != os.getpid():
            with self._locks.setdefault(os.getpid(), threading.Lock()):
                if self._owner[0] != os.getpid():
                    self._start()


def _stop(handle: Any, _memory: NDArray[np.uint8], owner: list[int]) -> None:
    if owner == [os.getpid()]:  # in a forked child the workers do not exist
        lib.wisp_pool_stop(handle)
