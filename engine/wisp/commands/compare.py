"""wisp compare: how far a converted model is from its source, layer by layer or over a folder of pictures."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

from ..cli import UsageError
from ..errors import ArgumentError, ResultError
from ..interface import to_source
from ..model import load as load_wisp
from ..profile import random_inputs
from . import _shared
from .convert import import_converter
from .run import _named, _read

HELP = """Compare a .wisp file with the ONNX model it came from: every layer, or the outputs for a folder of pictures.

Both run on the same input (random unless --input is given); source by ONNX Runtime where it is installed, otherwise by
ONNX's own reference. Tensors are matched by name; a layer that the converter fused away has no line. int8 tensors are
compared as the real numbers they stand for. SNR = signal-to-noise ratio in dB; difference = largest, absolute and as a
part of the source tensor's largest value. Exit status 1 if an output is NaN or infinite where the source's is not.

With --images both run on every picture; of a classifier it is printed how often they have the same best class, and with
--labels how often the best class is right. A line of the labels is a picture's file name, a tab or comma, and the class
as a number from 0 or as a label of the model. --min-snr and --min-agreement set the exit status: 1 below them."""

EXAMPLES = """
wisp compare model.onnx model.wisp
wisp compare model.onnx model.wisp --input x=x.npy --json
wisp compare model.onnx model.wisp --images pictures --labels labels.csv --min-agreement 98
wisp compare model.onnx model.wisp --min-snr 20
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="MODEL.onnx")
    _shared.add_model_arguments(parser)
    parser.add_argument("--input", action="append", default=[], metavar="NAME=FILE", help=".npy file or picture")
    parser.add_argument("--images", metavar="DIR", help="a folder of pictures, prepared as the file says")
    parser.add_argument("--labels", metavar="FILE", help="the classes of these pictures, a line for each")
    parser.add_argument("--min-snr", type=float, metavar="DB", help="of every output")
    parser.add_argument("--min-agreement", type=float, metavar="PERCENT", help="of pictures with the same best class")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> None:
    if arguments.images is None and (arguments.labels is not None or arguments.min_agreement is not None):
        raise UsageError("--labels and --min-agreement need --images DIR")
    if arguments.images is not None and arguments.input:
        raise UsageError("--images and --input: give one of them")
    import_converter()
    (_run_images if arguments.images is not None else _run_layers)(arguments)


def _run_layers(arguments: argparse.Namespace) -> None:
    from wisp_converter.layers import compare_layers
    from wisp_converter.sources.onnx.load import load

    content = _shared.readable(arguments.model)
    model = load_wisp(content, threads=arguments.threads, shapes=_shared.parse_shapes(arguments.shape) or None)
    inputs = {name: _read(model, name, path) for name, path in _named(model, arguments.input).items()}
    inputs = to_source(model.inputs, model.metadata, inputs or random_inputs(model))
    with _opened(content) as file:
        rows, _ = compare_layers(load(_shared.readable(arguments.source)), file, inputs, threads=arguments.threads)
    if not rows:
        raise ArgumentError(f"{arguments.model} and {arguments.source} have no tensor in common: is it the source?")
    print(_shared.json_text(rows) if arguments.json else _layers_text(rows))
    outputs = {r["name"]: r["snr_db"] for r in rows if r["output"]}
    wrong = [r["name"] for r in rows if r["output"] and r["max_abs"] == math.inf]
    if wrong:
        raise ResultError(f"output {wrong[0]!r} holds NaN or infinities where the source's does not, or the reverse")
    _check_snr(arguments, outputs)


@contextlib.contextmanager
def _opened(content: str | bytes) -> Iterator[BinaryIO]:
    """A file that can be mapped, also of what came from a pipe."""
    from wisp_converter import temporary_file

    with open(content, "rb") if isinstance(content, str) else temporary_file() as file:
        if isinstance(content, bytes):
            file.write(content)
            file.flush()
        yield file


def _layers_text(rows: list[dict[str, Any]]) -> str:
    text = [["tensor", "shape", "SNR dB", "max difference", "relative", ""]]
    for r in rows:
        text.append([r["name"][-60:], _shared.shape_text(r["shape"]), _snr_text(r["snr_db"]), f"{r['max_abs']:.3g}",
                     f"{r['relative']:.2g}", "output" if r["output"] else ""])
    return _shared.table(text, right={2, 3, 4})


def _run_images(arguments: argparse.Namespace) -> None:
    from wisp_converter import Progress
    from wisp_converter.agreement import compare_pictures
    from wisp_converter.sources.onnx.load import load

    with Progress() as progress, _opened(_shared.readable(arguments.model)) as file:
        report = compare_pictures(load(_shared.readable(arguments.source)), file, arguments.images,
                                  labels=arguments.labels, threads=arguments.threads, progress=progress)
    print(_shared.json_text(report) if arguments.json else _images_text(report))
    _check_snr(arguments, {name: output["snr_db"] for name, output in report["outputs"].items()})
    if arguments.min_agreement is not None:
        if "agreement" not in report:
            raise ArgumentError(f"{arguments.model}: no classifier, so there is no agreement to be had; use --min-snr")
        if not 100 * report["agreement"] >= arguments.min_agreement:
            raise ResultError(f"the same best class in {_percent(report['agreement'])} of the pictures, less than "
                              f"--min-agreement {arguments.min_agreement:g}")


def _images_text(report: dict[str, Any]) -> str:
    lines = [f"pictures      {report['pictures']}", f"source        run by {report['reference']}"]
    for name, output in report["outputs"].items():
        lines.append(f"output        {name}: SNR {_snr_text(output['snr_db'])} dB over all, max difference "
                     f"{output['max_abs']:.3g}; lowest for {report['worst']}")
    if "agreement" in report:
        lines.append(f"agreement     {_percent(report['agreement'])} have the same best class")
    if "labelled" in report:
        lines.append(f"top-1         {_percent(report['source_top1'])} source, {_percent(report['top1'])} converted; "
                     f"{report['labelled']} have a label")
    return "\n".join(lines)


def _percent(part: float) -> str:
    return f"{100 * part:.4g} %"


def _snr_text(snr: float) -> str:
    return "exact" if snr == math.inf else f"{snr:.1f}"


def _check_snr(arguments: argparse.Namespace, outputs: dict[str, float]) -> None:
    if arguments.min_snr is not None:
        for name, snr in outputs.items():
            if not snr >= arguments.min_snr:
                raise ResultError(f"output {name!r} has a SNR of {snr:.1f} dB, less than --min-snr "
                                  f"{arguments.min_snr:g}")
