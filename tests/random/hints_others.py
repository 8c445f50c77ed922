"""What schemas cannot tell of operators on pictures and signals, and of control flow."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
from onnx import helper, numpy_helper
from draw import Draw, hint
from hints_layers import spatial


@hint("Resize", "Upsample")
def resize(d: Draw) -> None:
    shape = d.data("X", (d.whole(1, 2), d.whole(1, 3), *(d.whole(2, 6) for _ in range(d.pick(1, 2, 2, 3))))).shape
    mode = d.pick("nearest", "linear", *(["cubic"] if d.opset >= 11 and len(shape) == 4 else []))
    sides = [d.pick(0.5, 1.5, 2.0, 3.0, 1.0, 0.7) for _ in shape[2:]]
    if d.name == "Upsample" or d.opset < 11:
        sides = [max(1.0, s) for s in sides] if d.name == "Upsample" else sides
        d.give("scales", [1.0, 1.0, *sides])
        d.attrs["mode"] = mode
        return
    ways = [w for w in d.words("coordinate_transformation_mode") if w != "tf_crop_and_resize"]
    nearest = [w for w in d.words("nearest_mode") if "_" in w or w in ("floor", "ceil")]
    d.attrs |= {"mode": mode, "coordinate_transformation_mode": d.pick(*ways), "nearest_mode": d.pick(*nearest),
                "axes": None, "keep_aspect_ratio_policy": None, "antialias": None, "extrapolation_value": None,
                "exclude_outside": d.whole(0, 1) if mode == "cubic" else None}
    empty = np.zeros(0, np.float32) if d.opset < 13 else None
    d.set("roi", None if empty is None else empty.astype(d.of("roi")))
    if d.chance(0.5):
        d.set("scales", np.array([1, 1, *sides], np.float32))
        d.set("sizes", None)
    else:
        d.set("scales", empty)
        d.set("sizes", [*shape[:2], *(d.whole(1, 9) for _ in sides)])
    if d.has("antialias") and mode != "nearest" and d.chance(0.3):
        d.attrs["antialias"] = 1
    if d.has("axes") and d.chance(0.3):
        d.attrs["axes"] = list(range(2, len(shape)))
        for name in ("scales", "sizes"):
            d.set(name, None if d.inputs[name] is None else d.inputs[name][2:])


@hint("GridSample")
def grid_sample(d: Draw) -> None:
    shape = d.data("X", spatial(d, (2, 2, 3) if d.opset >= 20 else (2,))).shape
    sides = len(shape) - 2
    grid = d.rng.uniform(-1.3, 1.3, [shape[0], *(d.whole(1, 4) for _ in range(sides)), sides])
    d.set("grid", grid.astype(d.of("grid")))
    modes = ("linear", "nearest", "cubic") if d.opset >= 20 else ("bilinear", "nearest", "bicubic")
    d.attrs["mode"] = d.pick(*modes[:2 if sides == 3 else 3])


@hint("AffineGrid")
def affine_grid(d: Draw) -> None:
    sides, batch = d.pick(2, 3), d.whole(1, 2)
    d.data("theta", [batch, sides, sides + 1])
    d.set("size", [batch, d.whole(1, 3), *(d.whole(1, 5) for _ in range(sides))])


@hint("RoiAlign")
def roi_align(d: Draw) -> None:
    shape = d.data("X", spatial(d, (2,))).shape
    corners = np.sort(d.rng.uniform(0, 8, (2, d.whole(0, 3), 2)), axis=0)
    boxes = np.concatenate(list(corners), axis=-1)
    d.set("rois", boxes.astype(d.of("rois")))
    d.set("batch_indices", d.rng.integers(0, shape[0], len(boxes)).astype(np.int64))
    d.attrs |= {"output_height": d.whole(1, 3), "output_width": d.whole(1, 3), "sampling_ratio": d.whole(0, 2),
                "mode": d.pick("avg", "max")}


@hint("NonMaxSuppression")
def non_max_suppression(d: Draw) -> None:
    batch, classes, boxes = d.whole(1, 2), d.whole(1, 3), d.whole(0, 6)
    d.set("boxes", d.rng.uniform(0, 4, (batch, boxes, 4)).astype(np.float32))
    d.set("scores", d.rng.random((batch, classes, boxes)).astype(np.float32))
    d.set("max_output_boxes_per_class", d.pick([d.whole(0, 4)], None))
    d.set("iou_threshold", d.pick([0.3], None))
    d.set("score_threshold", d.pick([0.4], None))


@hint("Col2Im")
def col2im(d: Draw) -> None:
    sides = d.pick(1, 2, 2, 3)
    image, block = [d.whole(3, 6) for _ in range(sides)], [d.whole(1, 3) for _ in range(sides)]
    strides, dilations = [d.whole(1, 2) for _ in image], [1 for _ in image]
    places = [(e - dl * (b - 1) - 1) // s + 1 for e, b, s, dl in zip(image, block, strides, dilations)]
    d.data("input", [d.whole(1, 2), d.whole(1, 3) * math.prod(block), math.prod(places)])
    d.set("image_shape", image)
    d.set("block_shape", block)
    d.attrs |= {"strides": strides, "dilations": None, "pads": None}


@hint("DFT")
def dft(d: Draw) -> None:
    onesided = d.chance(0.3)
    shape = d.data("input", [d.whole(1, 3), *(d.whole(1, 8) for _ in range(d.whole(1, 2))),
                             1 if onesided else d.pick(1, 2)]).shape
    d.set("dft_length", d.pick(None, np.array(d.whole(1, 9)).astype(d.of("dft_length"))))
    d.give("axis", d.whole(1, len(shape) - 2) if d.opset < 20 or d.chance(0.8) else None)
    d.attrs |= {"onesided": int(onesided), "inverse": 0 if onesided else d.whole(0, 1)}


@hint("STFT")
def stft(d: Draw) -> None:
    length, frame, onesided = d.whole(8, 20), d.whole(2, 8), d.chance(0.7)
    d.data("signal", [d.whole(1, 2), length, 1 if onesided else d.pick(1, 2)])
    d.set("frame_step", d.whole(1, 4))
    d.set("frame_length", frame)
    d.maybe("window", [frame])
    d.attrs["onesided"] = int(onesided)


# ---- control flow: bodies of one node


def _body(inputs: list, outputs: list, nodes: list):
    def info(name, dtype):
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), None)
    return helper.make_graph([helper.make_node(*n[:3], **(n[3] if len(n) > 3 else {})) for n in nodes], "body",
                             [info(*i) for i in inputs], [info(*o) for o in outputs])


STEPS = ("Neg", "Abs", "Identity", "Relu", "Sqrt", "Exp", "Floor")


@hint("If")
def branches(d: Draw) -> None:
    d.set("cond", np.array(d.chance(0.5)))
    for name in ("then_branch", "else_branch"):
        array = d.numbers(np.float32, d.any_shape(0, 2))
        value = ("Constant", [], ["c"], {"value": numpy_helper.from_array(array)})
        d.attrs[name] = _body([], [("r", np.float32)], [value, (d.pick(*STEPS), ["c"], ["r"])])
    d.outputs = 1


@hint("Loop")
def loop(d: Draw) -> None:
    d.set("M", np.array(d.whole(0, 4)) if d.chance(0.8) else None)
    d.set("cond", np.array(d.chance(0.9)) if d.chance(0.6) or d.inputs["M"] is None else None)
    state = d.numbers(np.float32, d.any_shape(0, 3))
    d.set("v_initial", [state])
    stop = d.inputs["M"] is None
    nodes = [(d.pick(*STEPS), ["s"], ["t"]), ("Add", ["t", "s"], ["u"]), (d.pick(*STEPS), ["t"], ["scan"])]
    nodes += ([("Constant", [], ["last"], {"value_int": 2}), ("Less", ["i", "last"], ["go"])] if stop
              else [("Identity", ["c"], ["go"])])
    scans = d.whole(0, 1)
    d.attrs["body"] = _body([("i", np.int64), ("c", bool), ("s", np.float32)],
                            [("go", bool), ("u", np.float32), ("scan", np.float32)][:2 + scans], nodes)
    d.outputs = 1 + scans


@hint("Scan")
def scan(d: Draw) -> None:
    steps, shape = d.whole(1, 4), d.any_shape(0, 2)
    d.set("initial_state_and_scan_inputs",
          [d.numbers(np.float32, shape), d.numbers(np.float32, [steps, *shape])])
    d.attrs |= {"body": _body([("s", np.float32), ("x", np.float32)], [("t", np.float32), ("y", np.float32)],
                              [("Add", ["s", "x"], ["t"]), (d.pick(*STEPS), ["t"], ["y"])]),
                "num_scan_inputs": 1, "scan_input_directions": [d.whole(0, 1)] if d.chance(0.5) else None,
                "scan_output_directions": [d.whole(0, 1)] if d.chance(0.5) else None, "directions": None,
                "scan_input_axes": None, "scan_output_axes": None}
    d.outputs = 2
