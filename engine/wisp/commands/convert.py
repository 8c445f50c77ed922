"""wisp convert: ONNX in, .wisp out."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from ..cli import UsageError, in_options
from ..errors import ArgumentError, UnsupportedError
from ..output import check_output
from . import _shared

HELP = """Convert an ONNX model to a .wisp file.

Float by default. --quantize int8 needs calibration data: a folder of pictures, .npy or .npz files, or one .npz file
(an array for each input, samples along the first axis). The result is compared with the source on one input and the
difference printed. --mean and --std are in units of pixel values 0..255: value = (pixel - mean) / std."""

EXAMPLES = """
wisp convert model.onnx
wisp convert model.onnx -o small.wisp --quantize int8 --calibrate pictures --mean 123.7,116.3,103.5 --std 58.4,57.1,57.4
wisp convert model.onnx -o small.wisp --quantize int8 --calibrate samples.npz --method minmax
wisp convert model.onnx --shape x=1,3,8,8 --labels labels.txt
wisp convert model.onnx -o - --quiet | wisp inspect /dev/stdin
"""

PIECE = 1 << 20  # bytes that are copied at a time


def add_arguments(parser) -> None:
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("-o", "--output", metavar="MODEL.wisp", help="default: the model's name with .wisp")
    parser.add_argument("--shape", action="append", metavar="NAME=1,3,224,224", help="bind an input's dynamic axes")
    parser.add_argument("--quantize", choices=("int8",), help="quantize after training")
    parser.add_argument("--calibrate", metavar="DIR|NPZ", help="data that stands for what the model will see")
    parser.add_argument("--method", choices=("output", "minmax", "percentile", "mse"), default="output",
                        help="how ranges of activations are chosen "
                             "(default output: by the error behind the next weights)")
    parser.add_argument("--percentile", type=float, default=99.999, metavar="P", help="default 99.999")
    parser.add_argument("--labels", metavar="FILE", help="text file, one class name a line, stored in the file")
    parser.add_argument("--mean", type=_numbers, metavar="R,G,B", help="in the model's channel order; default 0,0,0")
    parser.add_argument("--std", type=_numbers, metavar="R,G,B", help="default 1,1,1")
    parser.add_argument("--size", type=_numbers, metavar="H,W", help="of pictures; default: from the input's shape")
    parser.add_argument("--crop", type=float, metavar="F",
                        help="part of the scaled short side that is kept (default 1)")
    parser.add_argument("--channel-order", choices=("RGB", "BGR"), help="default RGB")
    parser.add_argument("--no-verify", action="store_true", help="do not compare with the source")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


_numbers.__name__ = "list of numbers"


def run(arguments) -> None:
    if bool(arguments.quantize) != bool(arguments.calibrate):
        raise UsageError("--quantize int8 and --calibrate DIR|NPZ go together")
    if not 50 < arguments.percentile <= 100:
        raise UsageError(f"--percentile {arguments.percentile:g}: expected more than 50 and at most 100")
    output = _output(arguments)
    inputs = [path for path in (arguments.model, arguments.calibrate, arguments.labels) if path is not None]
    _shared.check_target("-o", output, (".wisp",), inputs)
    if not arguments.quiet and sys.stderr is not None and sys.stderr.isatty():
        print("loading", end="\r", file=sys.stderr, flush=True)  # also the converter itself, which takes a second
    converter = import_converter()
    if os.path.isfile(arguments.model):
        inputs += converter.files_of(arguments.model)  # weights may be in other files
        check_output(output, inputs)
    metadata = {}
    if arguments.labels is not None:
        metadata["labels"] = _labels(arguments.labels)
    model = _shared.readable(arguments.model)
    preprocessing = _preprocessing(arguments, model)
    if preprocessing:
        metadata["preprocessing"] = preprocessing
    with converter.Progress(False if arguments.quiet else None) as progress:
        def report(line: str) -> None:
            if not arguments.quiet:
                progress.say(in_options(line), file=sys.stderr if output == "-" else sys.stdout)

        with converter.temporary_file() as file:
            converter.convert(
                model, quantize=arguments.quantize, calibration=arguments.calibrate, preprocess=preprocessing,
                shapes=_shared.parse_shapes(arguments.shape) or None, metadata=metadata, method=arguments.method,
                percentile=arguments.percentile, verify=not arguments.no_verify, progress=progress, report=report,
                into=file)
            progress.step("writing")
            file.seek(0)
            converter.save(iter(lambda: file.read(PIECE), b""), output, inputs)
            report(f"{output}: {_shared.size_text(file.tell())}")


def _output(arguments) -> str:
    """Where the result goes; without -o beside the model, under its name."""
    if arguments.output is not None:
        return arguments.output
    if os.path.exists(arguments.model) and not os.path.isfile(arguments.model) and not os.path.isdir(arguments.model):
        raise UsageError(f"-o is needed: {arguments.model} is no file that the result could be named after")
    return os.path.splitext(arguments.model)[0] + ".wisp"


def import_converter():
    """The wisp_converter package, or an error that says how to get it."""
    if sys.version_info < (3, 10):
        raise UnsupportedError("the converter needs Python 3.10 or newer")
    try:
        import wisp_converter
    except ImportError as error:
        raise UnsupportedError(f"the converter is not complete here ({error}): pip install 'wisp[converter]'") from None
    return wisp_converter


def _labels(path: str) -> list[str]:
    try:
        labels = Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ArgumentError(f"{path}: labels must be UTF-8 text") from None
    if not labels:
        raise ArgumentError(f"{path}: no labels in it")
    return labels


def _preprocessing(arguments, model: str | bytes) -> dict | None:
    """What image.py needs to know, or None if no option speaks of pictures."""
    given = {"mean": arguments.mean, "std": arguments.std, "size": arguments.size, "crop": arguments.crop,
             "channel_order": arguments.channel_order}
    given = {key: value for key, value in given.items() if value is not None}
    if not given:
        return None
    for key in ("mean", "std"):
        if len(given.setdefault(key, [float(key == "std")] * 3)) != 3:
            raise UsageError(f"--{key}: expected three numbers")
    if 0.0 in given["std"]:
        raise UsageError("--std: 0 is no standard deviation")
    if not 0 < given.setdefault("crop", 1.0) <= 1:
        raise UsageError("--crop: expected more than 0 and at most 1")
    given.setdefault("channel_order", "RGB")
    given["size"] = [int(n) for n in given.get("size") or _input_size(arguments, model)]
    if len(given["size"]) != 2 or min(given["size"]) < 1:
        raise UsageError("--size: expected height,width")
    return {**given, "layout": "NCHW"}


def _input_size(arguments, model: str | bytes) -> list[int]:
    import onnx

    shapes = list(_shared.parse_shapes(arguments.shape).values())
    try:
        file = io.BytesIO(model) if isinstance(model, bytes) else model
        inputs = onnx.load(file, load_external_data=False).graph.input
    except Exception as error:  # protobuf's DecodeError is no public name; convert() says what is wrong with the model
        if isinstance(error, OSError):
            raise
        raise ArgumentError(f"{arguments.model}: not an ONNX model") from None
    shapes += [tuple(d.dim_value for d in i.type.tensor_type.shape.dim) for i in inputs]
    for shape in shapes:
        if len(shape) == 4 and shape[1] == 3 and min(shape[2:]) > 0:
            return list(shape[2:])
    raise UsageError("--size is needed: the model's input does not state height and width")
