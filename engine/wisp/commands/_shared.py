"""What several subcommands need: options, arrays from files, tables."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Set
from typing import Any

import numpy as np

from ..cli import UsageError
from ..errors import ArgumentError
from ..model import Model, load
from ..output import check_output


def parse_shapes(options: list[str] | None) -> dict[str, tuple[int, ...]]:
    """{"x": (1, 3, 224, 224)} from ["x=1,3,224,224"]."""
    shapes = {}
    for option in options or []:
        name, sep, dims = option.rpartition("=")
        try:
            shapes[name] = tuple(int(d) for d in dims.replace("x", ",").split(",") if d)
        except ValueError:
            sep = ""
        if not sep or not name or any(d < 0 for d in shapes[name]):
            raise UsageError(f"--shape {option}: expected NAME=1,3,224,224")
    return shapes


def number(kind: type[int] | type[float], low: float, high: float, expected: str) -> Callable[[str], float]:
    """An argparse type: a number from `low` to `high`, or a line that says what was `expected`."""
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {expected}, not {text!r}")
        return value

    return parse


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.wisp")
    parser.add_argument("--threads", type=number(int, 1, 64, "a number from 1 to 64"), default=1,
                        metavar="N", help="threads for one run (default 1)")
    parser.add_argument("--shape", action="append", metavar="NAME=1,3,224,224", help="bind an input's dynamic axes")


def load_model(arguments: argparse.Namespace) -> Model:
    return load(arguments.model, threads=arguments.threads, shapes=parse_shapes(arguments.shape) or None)


def readable(path: str) -> str | bytes:
    """What can be read again and again: a file's path, the contents of a pipe."""
    if os.path.isfile(path) or os.path.isdir(path) or not os.path.exists(path):
        return path
    with open(path, "rb") as stream:
        return stream.read()


def read_array(path: str, what: str = "an array") -> np.ndarray:
    """The array in an .npy file; nothing in it is executed."""
    with open(path, "rb") as stream:
        try:
            array = np.load(stream, allow_pickle=False)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ArgumentError(f"{path}: not {what} in .npy form ({error})") from None
    if not isinstance(array, np.ndarray):
        raise ArgumentError(f"{path}: this is an .npz file; expected .npy")
    return array


def check_target(option: str, path: str, endings: tuple[str, ...], inputs: list[str]) -> None:
    """Whether `path`, the value of `option`, can be written once there is something to write; see check_output."""
    check_output(path, inputs)
    is_file = path != "-" and (os.path.isfile(path) or not os.path.exists(path))
    if is_file and not any(name.lower().endswith(endings) for name in (path, os.path.realpath(path))):
        raise UsageError(f"{option} {path}: expected a name that ends in {' or '.join(endings)}, "
                         "or - for standard output")


def json_text(report: Any) -> str:
    """Valid JSON: NaN and infinities are null, and the object they stand in says so in its "note"."""
    def plain(value: Any, where: str, notes: list[str]) -> Any:
        if isinstance(value, dict):
            own: list[str] = []
            found = {key: plain(inner, str(key), own) for key, inner in value.items()}
            return {**found, "note": "; ".join(own)} if own else found
        if isinstance(value, (list, tuple)):
            return [plain(inner, f"{where}[{i}]", notes) for i, inner in enumerate(value)]
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float) and not math.isfinite(value):
            notes.append(f"{where} is {'not a number' if math.isnan(value) else value}")
            return None
        return value

    return json.dumps(plain(report, "", []), indent=1, allow_nan=False)


def table(rows: list[list[str]], right: Set[int] = frozenset()) -> str:
    """Aligned columns; the first row is the heading. Columns in `right` are right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths)))
             for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def shape_text(shape: Iterable[int | str | None]) -> str:
    return "x".join("?" if d is None else str(d) for d in shape) or "scalar"


def size_text(size: float) -> str:
    """Bytes for people: 1,234 B, 1.2 KB (1024 bytes), 3.4 MB."""
    if size < 10240:
        return f"{int(size):,} B"
    return f"{size / 1024:,.1f} KB" if size < 10 << 20 else f"{size / (1 << 20):,.1f} MB"
