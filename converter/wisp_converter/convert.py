"""`convert`: an ONNX model in, the bytes of a .wisp file out."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from typing import BinaryIO

from .target import format as fmt
from .errors import ModelError, UnsupportedError
from .target.pack import pack
from .passes import run_passes
from .runner import temporary_file
from .target.amend import amend
from .target.plan import plan_memory, settle_scratch
from .progress import Progress, shows_progress
from .save import save
from .sources.onnx.importer import import_graph
from .sources.onnx.load import load
from .verify import sample_inputs, verify as compare_with_source

__all__ = ["convert", "save"]

QUANTIZE = ("int8",)


@shows_progress
def convert(model, *, quantize: str | None = None, calibration=None, shapes: dict | None = None,
            metadata: dict | None = None, method: str = "output", percentile: float = 99.999,
            preprocess: dict | None = None, verify: bool = True, progress: Progress | bool | None = None,
            report: Callable[[str], None] | None = None, into: BinaryIO | None = None) -> bytes:
    """Convert an ONNX model to a .wisp file.

    model: a path, the bytes of an ONNX file, or an onnx.ModelProto.
    quantize: None keeps f32; "int8" needs `calibration`: an iterable of {input name: array}, an .npz or .npy file, or a
        folder of such files or of images (then `preprocess` says how they become arrays, see calibrate.py).
    shapes: {input name: extents} binds dynamic axes; those left open are bound when the file is loaded.
    metadata: anything JSON can hold (labels, preprocessing); stored in the file.
    method, percentile: how int8 ranges are chosen: "output", "minmax", "percentile" or "mse", see calibrate.py.
    verify: run source and result on the same input and compare. A float model that differs raises VerifyError.
    progress: show what is done; None: on a terminal. A Progress goes on with what it shows.
    report: called with each line of what was done and found.
    into: an empty file, open for reading and writing, that gets the result: then no bytes are returned, and of a large
        model's weights only a few are in memory at any time.

    Raises ModelError, UnsupportedError, CalibrationError, VerifyError, each in one line.
    """
    options = locals()
    if into is None:
        with temporary_file() as file:
            convert(**{**options, "into": file})
            file.seek(0)
            return file.read()
    say = report or (lambda line: None)
    if quantize is not None and quantize not in QUANTIZE:
        raise UnsupportedError(f"quantize={quantize!r}: this version has {', '.join(QUANTIZE)}; leave it out for float")
    assert isinstance(progress, Progress)
    progress.step("loading")
    source = load(model, shapes)
    progress.step("importing")
    graph = import_graph(source)
    progress.step("folding")
    run_passes(graph)
    sample, details = None, {"preprocessing": preprocess} if preprocess else {}
    if quantize:
        from .quantize.int8 import quantize_int8
        from .quantize.observe import calibrate
        means, sample = calibrate(graph, calibration, method=method, percentile=percentile, preprocess=preprocess,
                                  progress=progress)
        progress.step("quantizing")
        details["quantization"] = {"method": method, **quantize_int8(graph, means, say)}
    progress.step("planning")
    pack(graph)
    plan = plan_memory(graph)
    progress.step("writing")
    fmt.write_to(into, graph, plan, source_sha256=source.sha256, metadata=_json({**details, **(metadata or {})}))
    source.weights.rest()
    settle_scratch(plan, into)
    say(plan.describe())
    if verify:
        progress.step("verifying")
        inputs = sample if sample is not None else sample_inputs(graph)
        differences = compare_with_source(source, into, inputs, exact=quantize is None)
        for difference in differences:
            say(difference.describe())
        accuracy = {d.name: d.as_json() for d in differences}
        amend(into, metadata=_json({**details, "accuracy": accuracy, **(metadata or {})}))
    return b""


def _json(metadata: dict) -> bytes:
    try:
        return json.dumps(metadata, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ModelError(f"metadata cannot be stored as JSON: {error}") from error
