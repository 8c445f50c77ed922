"""What a conversion is doing, said in one line on a terminal while it does it."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO, TypeVar

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

STEP = "{desc} [{elapsed}]"
REFRESH = 1.0  # seconds: the clock in the line moves, so that long work is seen to be alive


class Progress:
    """`with Progress() as progress: progress.step("importing")`: a line on stderr with the step and its time, which is
    gone at the end. Nothing is shown if `shown` is false, by default where stderr is no terminal, or without tqdm."""

    def __init__(self, shown: bool | None = None) -> None:
        self._bar: Any = None
        self._done = threading.Event()
        self._clock: threading.Thread | None = None
        self._shown = (sys.stderr is not None and sys.stderr.isatty()) if shown is None else shown

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._clock is not None:
            self._clock.join()
            self._bar.close()
            self._bar = self._clock = None

    def step(self, name: str, total: int | None = None, unit: str = "") -> None:
        """The name of what is done from now on; `total` units of it, where that is known."""
        if not self._shown or not self._open(name):
            return
        bar = self._bar
        bar.unit = unit
        bar.bar_format = None if total else STEP
        bar.set_description_str(f"{name}: " if total else name, refresh=False)
        bar.reset(total)
        bar.refresh()

    def over(self, name: str, items: Iterable[T], total: int | None, unit: str) -> Iterator[T]:
        """The items of the step `name`, counted as they are taken: `total` units, where that is known."""
        self.step(name, total, unit)
        for item in items:
            yield item
            if self._bar is not None:
                self._bar.update()

    def say(self, line: str, file: TextIO | None = None) -> None:
        """Print a line to a file (stdout) in spite of the line that is shown."""
        if self._bar is None:
            print(line, file=file)
            return
        with self._bar.external_write_mode(file=file):
            print(line, file=file, flush=True)

    def _open(self, name: str) -> bool:
        if self._bar is None:
            try:
                from tqdm import tqdm
            except ImportError:
                self._shown = False
                return False
            size = shutil.get_terminal_size()  # tqdm is silent on a terminal that does not tell its own
            self._bar = tqdm(leave=False, file=sys.stderr, ncols=size.columns - 1, nrows=size.lines, desc=name,
                             bar_format=STEP)
            self._clock = threading.Thread(target=self._tick, args=(self._bar,), daemon=True)
            self._clock.start()
        return True

    def _tick(self, bar: Any) -> None:
        while not self._done.wait(REFRESH):
            bar.refresh()


def shows_progress(function: F) -> F:
    """A function whose argument `progress`, a bool or None for its callers, is a Progress inside."""

    @functools.wraps(function)
    def wrapper(*arguments: Any, progress: Progress | bool | None = None, **others: Any) -> Any:
        if isinstance(progress, Progress):
            return function(*arguments, progress=progress, **others)
        with Progress(progress) as own:
            return function(*arguments, progress=own, **others)

    return wrapper  # type: ignore[return-value]
