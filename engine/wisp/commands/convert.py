"""wisp convert: ONNX in, .wisp out."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .. import image
from ..cli import UsageError, in_options
from ..errors import ArgumentError, UnsupportedError
from ..output import check_output
from . import _shared

IO, LAYOUTS = ("float", "int8", "uint8"), ("NCHW", "NHWC")

HELP = """Convert an ONNX model to a .wisp file.

Float by default. --quantize int8 needs calibration data: a folder of pictures, .npy or .npz files, or one .npz file
(an array for each input, samples along the first axis). The result is compared with the source on one input and the
difference printed. Pictures become numbers by (pixel - mean) / std, pixels of 0..255: --preprocess names a mean and std
(imagenet is torchvision's, 0..1 a division by 255, -1..1 a division by 127.5 less 1, bytes nothing), --mean and --std
state them, with --unit 1 for pixels of 0..1."""

EXAMPLES = """
wisp convert model.onnx
wisp convert model.onnx -o small.wisp --quantize int8 --calibrate pictures --preprocess imagenet
wisp convert model.onnx -o small.wisp --quantize int8 --calibrate samples.npz --method minmax
wisp convert model.onnx --quantize int8 --calibrate pictures --mean 0,0,0 --std 255,255,255 --io uint8 --layout NHWC
wisp convert model.onnx --shape x=1,3,8,8 --labels labels.txt
wisp convert stream.onnx --state h0_out=h0 --state h1_out=h1
wisp convert model.onnx -o - --quiet | wisp inspect /dev/stdin
"""

PIECE = 1 << 20  # bytes that are copied at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--preprocess", choices=tuple(image.PRESETS), help="mean and std by what the training code did")
    parser.add_argument("--mean", type=_numbers, metavar="R,G,B", help="in the model's channel order; default 0,0,0")
    parser.add_argument("--std", type=_numbers, metavar="R,G,B", help="default 1,1,1")
    parser.add_argument("--unit", type=int, choices=(1, 255),
                        help="the brightest pixel, for which --mean and --std are (default 255)")
    parser.add_argument("--size", type=_numbers, metavar="H,W", help="of pictures; default: from the input's shape")
    parser.add_argument("--crop", type=float, metavar="F",
                        help="part of the scaled short side that is kept (default 1)")
    parser.add_argument("--channel-order", choices=("RGB", "BGR"), help="default RGB")
    parser.add_argument("--input", action="append", default=[], metavar="NAME=FILE.npy",
                        help="what to compare source and result on; NAME= may be left out if the model has one input")
    parser.add_argument("--io", action="append", default=[], metavar="[NAME=]DTYPE",
                        help="float (default), int8 or uint8: of float inputs and outputs, by the int8 model's scales; "
                             "with --preprocess, or --mean and --std, uint8 pictures are pixels, also of a float model")
    parser.add_argument("--layout", action="append", default=[], metavar="[NAME=]LAYOUT",
                        help="NCHW (default) or NHWC: of inputs with four axes, or of the input or output NAME")
    parser.add_argument("--state", action="append", default=[], metavar="OUT=IN",
                        help="keep output OUT in the session and read it as input IN in the next run")
    parser.add_argument("--keep-output", action="append", default=[], metavar="OUT",
                        help="a state that stays an output as well")
    parser.add_argument("--no-rounding", action="store_true",
                        help="compute float16 and bfloat16 networks in float32 between inputs and outputs: faster")
    parser.add_argument("--no-verify", action="store_true", help="do not compare with the source")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


_numbers.__name__ = "list of numbers"


def run(arguments: argparse.Namespace) -> None:
    if bool(arguments.quantize) != bool(arguments.calibrate):
        raise UsageError("--quantize int8 and --calibrate DIR|NPZ go together")
    if not 50 < arguments.percentile <= 100:
        raise UsageError(f"--percentile {arguments.percentile:g}: expected more than 50 and at most 100")
    io, layout = _by_name("--io", arguments.io, IO), _by_name("--layout", arguments.layout, LAYOUTS)
    state = _states(arguments.state)
    output = _output(arguments)
    files = (arguments.model, arguments.calibrate, arguments.labels, *(o.rpartition("=")[2] for o in arguments.input))
    inputs = [path for path in files if path is not None]
    _shared.check_target("-o", output, (".wisp",), inputs)
    if not arguments.quiet and sys.stderr is not None and sys.stderr.isatty():
        print("loading", end="\r", file=sys.stderr, flush=True)  # also the converter itself, which takes a second
    converter = import_converter()
    if os.path.isfile(arguments.model):
        inputs += converter.files_of(arguments.model)  # weights may be in other files
        check_output(output, inputs)
    metadata = {} if arguments.labels is None else {"labels": _labels(arguments.labels)}
    model = _shared.readable(arguments.model)
    preprocessing = _preprocessing(arguments)
    with converter.Progress(False if arguments.quiet else None) as progress:
        def report(line: str) -> None:
            stream = sys.stderr if output == "-" else sys.stdout
            if arguments.quiet or stream is None:
                return
            with contextlib.suppress(BrokenPipeError):  # nobody reads on; the file is wanted all the same
                try:
                    progress.say(in_options(line), file=stream)
                except OSError as error:
                    raise OSError(error.errno, error.strerror, stream.name) from None

        with converter.temporary_file() as file:
            converter.convert(
                model, quantize=arguments.quantize, calibration=arguments.calibrate, preprocess=preprocessing,
                shapes=_shared.parse_shapes(arguments.shape) or None, metadata=metadata, method=arguments.method,
                percentile=arguments.percentile, io=io, layout=layout, state=state,
                keep_outputs=arguments.keep_output, keep_rounding=not arguments.no_rounding,
                verify=not arguments.no_verify, verify_inputs=_inputs(arguments.input), progress=progress,
                report=report, into=file)
            progress.step("writing")
            file.seek(0)
            converter.save(iter(lambda: file.read(PIECE), b""), output, inputs)
            report(f"{output}: {_shared.size_text(file.tell())}")


def _by_name(option: str, given: list[str], known: tuple[str, ...]) -> dict[str, str]:
    """{"*": "uint8", "boxes": "float"} from ["uint8", "boxes=float"]."""
    found = {}
    for text in given:
        name, sep, wanted = text.rpartition("=")
        if wanted not in known or sep and not name:
            raise UsageError(f"{option} {text}: expected {' or '.join(known)}, or NAME={known[-1]}")
        found[name if sep else "*"] = wanted
    return found


def _states(given: list[str]) -> dict[str, str]:
    """{"h_out": "h_in"} from ["h_out=h_in"]."""
    found: dict[str, str] = {}
    for text in given:
        name, sep, there = text.partition("=")
        if not sep or not name or not there or name in found:
            raise UsageError(f"--state {text}: expected OUT=IN, an output and an input, each output once")
        found[name] = there
    return found


def _output(arguments: argparse.Namespace) -> str:
    """Where the result goes; without -o beside the model, under its name."""
    if arguments.output is not None:
        return str(arguments.output)
    if os.path.exists(arguments.model) and not os.path.isfile(arguments.model) and not os.path.isdir(arguments.model):
        raise UsageError(f"-o is needed: {arguments.model} is no file that the result could be named after")
    return f"{os.path.splitext(arguments.model)[0]}.wisp"


def import_converter() -> Any:
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


def _inputs(options: list[str]) -> dict[str, Any] | np.ndarray | None:
    """Arrays by name, or one alone that has none; None without options."""
    arrays = {}
    for option in options:
        name, sep, path = option.rpartition("=")
        if not sep and len(options) == 1:
            return _shared.read_array(path)
        if not name or name in arrays:
            raise UsageError(f"--input {option}: expected NAME=FILE.npy, each name once")
        arrays[name] = _shared.read_array(path)
    return arrays or None


def _preprocessing(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """What the options say of pictures; None if nothing. The converter fills in the rest."""
    given = {"preset": arguments.preprocess, "mean": arguments.mean, "std": arguments.std, "unit": arguments.unit,
             "size": arguments.size, "crop": arguments.crop, "channel_order": arguments.channel_order}
    given = {key: value for key, value in given.items() if value is not None}
    try:
        image.complete(given)
    except ArgumentError as error:
        raise UsageError(f"--{error}".replace("--preset", "--preprocess")) from None
    return given or None
