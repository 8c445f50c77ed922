"""`convert`: an ONNX model in, the bytes of a .wisp file out."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import BinaryIO

from .target import format as fmt
from .borders import Borders
from .errors import CalibrationError, ModelError, UnsupportedError
from .inputs import draw_other, draws, given, meanings
from .ir import Graph
from .target.pack import pack
from .passes import run_passes
from .passes.widen_halves import rounds, widen_halves
from .pictures import complete, doubt_labels, doubts
from .runner import temporary_file
from .target.amend import amend
from .target.plan import plan_memory, settle_scratch
from .progress import Progress, shows_progress
from .samples import has_pictures, skipped
from .save import save
from .sources.onnx.importer import import_graph
from .sources.onnx.load import load
from .states import find_states
from .verify import verify as compare_with_source

__all__ = ["convert", "save"]

QUANTIZE = ("int8",)


@shows_progress
def convert(model, *, quantize: str | None = None, calibration=None, shapes: dict | None = None,
            metadata: dict | None = None, method: str = "output", percentile: float = 99.999,
            preprocess: dict | None = None, io: str | dict | None = None, layout: str | dict | None = None,
            state: dict[str, str] | None = None, keep_outputs: Sequence[str] = (), keep_rounding: bool = True,
            verify: bool = True, verify_inputs=None,
            progress: Progress | bool | None = None, report: Callable[[str], None] | None = None,
            into: BinaryIO | None = None) -> bytes:
    """Convert an ONNX model to a .wisp file.

    model: a path, the bytes of an ONNX file, or an onnx.ModelProto.
    quantize: None keeps f32; "int8" needs `calibration`: an iterable of {input name: array}, an .npz or .npy file, or a
        folder of such files or of images (then `preprocess` says how they become arrays).
    shapes: {input name: extents} binds dynamic axes; those left open are bound when the file is loaded.
    metadata: anything JSON can hold (labels, preprocessing); stored in the file.
    method, percentile: how int8 ranges are chosen: "output", "minmax", "percentile" or "mse", see calibrate.py.
    preprocess: for pictures, {"preset": "imagenet", "0..1", "-1..1" or "bytes"}, or "mean" and "std" for pixels of
        0..255 (of 0..1 with "unit": 1); "size", "crop", "channel_order", "layout". Stored in the file, see wisp.image.
    io: "float" (the default), "int8" or "uint8" for all float inputs and outputs, or {name: one of these}, "*" for
        those not named. The integers have the scale and zero point of the int8 model; where `preprocess` says mean and
        std, uint8 pictures are pixels, also in a float model.
    layout: "NHWC" for all inputs of four axes, or {name of an input or output: "NHWC"}; the source's are NCHW.
    state: {output: input}: the session keeps these outputs and reads them as these inputs in its next run; at first
        they are the model's initializer of that name, else zeros. They are neither inputs nor outputs of the file,
        except outputs that `keep_outputs` names, or where no other is left. Calibration samples are then consecutive.
    keep_rounding: where the source has float16 or bfloat16, round every result as it does. False: numbers are float32
        from the inputs to the outputs, which keep their types; faster, and closer to exact. Quantizing implies it.
    verify: run source and result on the same input and compare. A float model that differs from what ONNX Runtime
        computes raises VerifyError; without ONNX Runtime, ONNX's own reference runs the source, and a difference is
        reported as a warning. Where the source takes no input that was tried, the report says "not compared: why".
    verify_inputs: {input name: array}, or the array of the only input: what to compare on; default: a calibration
        sample, else drawn by chance, so that ids lie within their tables, masks are 0 or 1, lengths fit.
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
    if calibration is not None and not quantize:
        raise CalibrationError("calibration data are given, but nothing to quantize: add quantize='int8', "
                               "or leave them out")
    assert isinstance(progress, Progress)
    progress.step("loading")
    source = load(model, shapes, (state or {}).values())
    for note in source.notes:
        say(note)
    progress.step("importing")
    graph = import_graph(source)
    if quantize or not keep_rounding:
        widen_halves(graph)
    elif rounds(graph):
        say("results are rounded to 16 bits as in the source; keep_rounding=False computes in float32, which is faster")
    progress.step("folding")
    run_passes(graph)
    states = find_states(graph, state, keep_outputs, source.defaults)
    visible = states.visible(graph)
    interface, sample = meanings(visible), given(verify_inputs, visible.inputs)
    for line in (*doubts(preprocess, has_pictures(calibration)), *skipped(calibration),
                 *doubt_labels((metadata or {}).get("labels"), visible.outputs), *states.describe(graph)):
        say(line)
    preprocess = complete(preprocess, visible.inputs)
    borders, details = Borders(visible, io, layout, preprocess), dict(graph.metadata)
    if quantize:
        from .quantize.int8 import quantize_int8
        from .quantize.observe import calibrate
        means, first = calibrate(graph, calibration, method=method, percentile=percentile, states=states,
                                 preprocess=preprocess, progress=progress, say=say)
        sample = first if sample is None else sample
    borders.observe(bool(quantize), say)
    if quantize:
        progress.step("quantizing")
        details["quantization"] = {"method": method, **quantize_int8(graph, means, say)}
    borders.apply(graph, say)
    details |= (metadata or {}) | borders.metadata()
    progress.step("planning")
    pack(graph)
    plan = plan_memory(graph, states.take_out(graph))
    progress.step("writing")
    fmt.write_to(into, graph, plan, source_sha256=source.sha256, metadata=_json(details))
    source.weights.rest()
    settle_scratch(plan, into)
    say(plan.describe())
    if verify:
        progress.step("verifying")
        tries = partial(draws, interface, preprocess) if sample is None else lambda: [sample]
        found = compare_with_source(source, into, tries, exact=quantize is None, steps=_steps(graph), states=states,
                                    other=draw_other(interface) if sample is None else None, say=say)
        amend(into, metadata=_json({**found, **details}))
    return b""


def _steps(graph: Graph) -> dict[str, float]:
    """By output what one step of the int8 tensor it is, or is made from, stands for."""
    makers = graph.producers()
    sources = {v.name: v if v.scale else makers[v].inputs[0] for v in graph.outputs if v.scale or v in makers}
    return {name: x.scale for name, x in sources.items() if x is not None and x.scale}


def _json(metadata: dict) -> bytes:
    try:
        return json.dumps(metadata, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ModelError(f"metadata cannot be stored as JSON: {error}") from error
