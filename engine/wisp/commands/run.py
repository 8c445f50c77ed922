"""wisp run: one inference from files."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import io
import sys
import zipfile

import numpy as np

from .. import image
from ..cli import UsageError
from ..errors import ArgumentError
from ..model import Model
from ..output import write_output
from . import _shared

HELP = """Run a model once.

Inputs are .npy files of exactly the model's dtype and shape, or pictures where the file says how to prepare them.
Prints a line for each output; of a classifier with labels the five best classes."""


def add_arguments(parser) -> None:
    _shared.add_model_arguments(parser)
    parser.add_argument("--input", action="append", default=[], metavar="NAME=FILE",
                        help=".npy file or picture; NAME= may be left out if the model has one input")
    parser.add_argument("--output", metavar="OUT.npz",
                        help="write all outputs to this file, or the only one to OUT.npy")


def run(arguments) -> None:
    model = _shared.load_model(arguments)
    files = _named(model, arguments.input)
    sources = [arguments.model, *files.values()]
    if arguments.output is not None:
        _shared.check_target("--output", arguments.output, (".npz", ".npy"), sources)
        if _is_npy(arguments.output) and len(model.outputs) != 1:
            raise UsageError(f"--output {arguments.output}: the model has {len(model.outputs)} outputs; give an .npz")
    inputs = {name: _read(model, path) for name, path in files.items()}
    outputs = model.run(inputs)
    with contextlib.redirect_stdout(sys.stderr if arguments.output == "-" else sys.stdout):
        for name, array in outputs.items():
            print(f"{name}: {array.dtype} {_shared.shape_text(array.shape)} {_summary(array)}")
        _print_classes(model, outputs)
    if arguments.output is not None:
        data = _npy_bytes(*outputs.values()) if _is_npy(arguments.output) else _npz_bytes(outputs)
        write_output(arguments.output, data, sources)


def _is_npy(path: str) -> bool:
    return path.lower().endswith(".npy")


def _npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """The arrays as an .npz file under their own names, whatever characters these contain."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), _npy_bytes(array))
    return buffer.getvalue()


def _named(model: Model, options: list[str]) -> dict[str, str]:
    names = [i.name for i in model.inputs]
    found: dict[str, str] = {}
    for option in options:
        name, sep, path = option.partition("=")
        if name not in names and len(names) == 1 and not sep:
            name, path = names[0], option
        elif not sep or not path:
            raise UsageError(f"--input {option}: expected NAME=FILE")
        if name in found:
            raise UsageError(f"--input {name} is given twice")
        found[name] = path
    return found


def _read(model: Model, path: str) -> np.ndarray:
    if not image.is_image(path):
        return _shared.read_array(path)
    preprocessing = model.metadata.get("preprocessing")
    if not preprocessing:
        raise ArgumentError(f"{path}: the model does not say how to prepare pictures "
                            "(convert it with --mean, --std, ...)")
    return image.load_image(path, preprocessing)


def _summary(array: np.ndarray) -> str:
    if array.size == 0:
        return "empty"
    if array.size <= 8:
        return np.array2string(array.ravel(), precision=6, separator=" ", max_line_width=1000)
    values = array.astype(np.float64)
    return f"min {values.min():.6g} max {values.max():.6g} mean {values.mean():.6g}"


def _print_classes(model: Model, outputs: dict[str, np.ndarray]) -> None:
    labels = model.metadata.get("labels")
    for info in model.outputs:
        values = outputs[info.name]
        if labels and values.ndim and values.shape[-1] == len(labels) and values.size == len(labels):
            scores = values.ravel().astype(np.float64)
            if info.scale:
                scores = info.scale * (scores - info.zero_point)
            for i in np.argsort(-scores, kind="stable")[:5]:
                print(f"  {scores[i]:10.4f}  {labels[i]}")
            return
