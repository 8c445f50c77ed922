"""wisp run: one inference from files."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import contextlib
import io
import sys
import zipfile
from typing import Any

import numpy as np

from .. import image
from ..cli import UsageError
from ..errors import ArgumentError, ResultError
from ..model import Model
from ..output import write_output
from . import _shared

HELP = """Run a model once.

Inputs are .npy files of exactly the model's dtype and shape, or pictures where the file says how to prepare them.
Prints a line for each output; of a classifier with labels the five best classes. Exit status 1 if an output holds NaN
though no input does; infinities are only said."""

EXAMPLES = """
wisp run model.wisp --input x=x.npy --output outputs.npz
wisp run model.wisp --input picture.png
wisp run model.wisp --input x.npy --threads 2 --json
wisp run model.wisp --input x.npy --output y.npy
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _shared.add_model_arguments(parser)
    parser.add_argument("--input", action="append", default=[], metavar="NAME=FILE",
                        help=".npy file or picture; NAME= may be left out if the model has one input")
    parser.add_argument("--output", metavar="OUT.npz",
                        help="write all outputs to this file, or the only one to OUT.npy")
    parser.add_argument("--json", action="store_true", help="print what is said of the outputs as JSON")


def run(arguments: argparse.Namespace) -> None:
    model = _shared.load_model(arguments)
    files = _named(model, arguments.input)
    sources = [arguments.model, *files.values()]
    if arguments.output is not None:
        _shared.check_target("--output", arguments.output, (".npz", ".npy"), sources)
        if _is_npy(arguments.output) and len(model.outputs) != 1:
            raise UsageError(f"--output {arguments.output}: the model has {len(model.outputs)} outputs; give an .npz")
    inputs = {name: _read(model, name, path) for name, path in files.items()}
    outputs = model.run(inputs)
    report: dict[str, Any] = {"outputs": [_describe(name, array) for name, array in outputs.items()],
              "classes": _classes(model, outputs)}
    if arguments.output is not None:
        data = _npy_bytes(*outputs.values()) if _is_npy(arguments.output) else _npz_bytes(outputs)
        write_output(arguments.output, data, sources)
    with contextlib.redirect_stdout(sys.stderr if arguments.output == "-" else sys.stdout):
        print(_shared.json_text(report) if arguments.json else _text(report))
    bad = [output["name"] for output in report["outputs"] if output["nan"]]
    if bad and not any(_count_nan(array) for array in inputs.values()):
        raise ResultError(f"output {bad[0]!r} holds NaN, and no input does")


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


def _read(model: Model, name: str, path: str) -> np.ndarray:
    if not image.is_image(path):
        return _shared.read_array(path)
    preprocessing = model.metadata.get("preprocessing")
    if not preprocessing:
        raise ArgumentError(f"{path}: the model does not say how to prepare pictures "
                            "(convert it with --mean, --std, ...)")
    picture = image.load_image(path, preprocessing)
    info = next((i for i in model.inputs if i.name == name), None)
    return info.quantize(picture) if info and info.scale and picture.dtype.kind == "f" else picture


def _describe(name: str, array: np.ndarray) -> dict[str, Any]:
    """Small arrays by their values, others by what their finite values are like."""
    report = {"name": name, "dtype": str(array.dtype), "shape": list(array.shape), "nan": _count_nan(array),
              "infinite": int(np.isinf(array).sum())}
    if array.size <= 8:
        return {**report, "values": array.ravel().tolist()}
    values = array[np.isfinite(array)].astype(np.float64)
    if not values.size:
        return report
    return {**report, "min": values.min(), "max": values.max(), "mean": values.mean()}


def _count_nan(array: np.ndarray) -> int:
    return int(np.isnan(array).sum()) if array.dtype.kind == "f" else 0


def _text(report: dict[str, Any]) -> str:
    lines = []
    for output in report["outputs"]:
        if "values" in output:
            text = np.array2string(np.array(output["values"], output["dtype"]), precision=6, separator=" ",
                                   max_line_width=1000) if output["values"] else "empty"
        else:
            text = " ".join(f"{key} {output[key]:.6g}" for key in ("min", "max", "mean") if key in output)
        odd = [f"{output[key]} {word}" for key, word in (("nan", "NaN"), ("infinite", "infinite")) if output[key]]
        lines.append(f"{output['name']}: {output['dtype']} {_shared.shape_text(output['shape'])} {text}"
                     + (f" ({', '.join(odd)})" if odd else ""))
    return "\n".join(lines + [f"  {c['score']:10.4f}  {c['label']}" for c in report["classes"] or ()])


def _classes(model: Model, outputs: dict[str, np.ndarray]) -> list[dict[str, Any]] | None:
    """The five best classes, if the file has labels and an output as many values; None if not."""
    labels = model.metadata.get("labels")
    for info in model.outputs:
        values = outputs[info.name]
        if labels and values.ndim and values.shape[-1] == len(labels) and values.size == len(labels):
            scores = (info.dequantize(values) if info.scale else values).ravel().astype(np.float64)
            return [{"label": labels[i], "score": scores[i]} for i in np.argsort(-scores, kind="stable")[:5]]
    return None
