"""Operators of ONNX on images that compute no weights: Resize, DepthToSpace, SpaceToDepth."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Value
from .emit import Emit, permute
from .images import nhwc_shape
from .registry import importer

MODES = {"nearest": 0, "linear": 1, "bilinear": 1, "cubic": 2}
COORDINATES = {"half_pixel": 0, "asymmetric": 1, "align_corners": 2, "pytorch_half_pixel": 3, "half_pixel_symmetric": 4,
               "tf_crop_and_resize": 5, "align_corners_whole": 6}
NEAREST_MODES = {"round_prefer_floor": 0, "round_prefer_ceil": 1, "floor": 2, "ceil": 3}
POLICIES = {"stretch": 0, "not_larger": 1, "not_smaller": 2}


@importer("DepthToSpace", any_dtype=True)
def DepthToSpace(emit: Emit, *, blocksize: int, mode: str = "DCR") -> None:
    x, out = emit.inputs[0], emit.out
    y = emit.add("DepthToSpace", [emit.to_nhwc(x)], shape=nhwc_shape(out.shape), blocksize=blocksize,
                 mode=int(mode == "CRD"))
    emit.to_nchw(y)


@importer("SpaceToDepth", any_dtype=True)
def SpaceToDepth(emit: Emit, *, blocksize: int) -> None:
    y = emit.add("SpaceToDepth", [emit.to_nhwc(emit.inputs[0])], shape=nhwc_shape(emit.out.shape), blocksize=blocksize)
    emit.to_nchw(y)


# ---- Resize


@importer("Resize")
def Resize(emit: Emit, *, antialias: int = 0, axes=None, coordinate_transformation_mode: str = "half_pixel",
           cubic_coeff_a: float = -0.75, exclude_outside: int = 0, extrapolation_value: float = 0.0,
           keep_aspect_ratio_policy: str = "stretch",
           mode: str = "nearest", nearest_mode: str = "round_prefer_floor") -> None:
    """Before opset 11 the scales are input 1, positions are asymmetric and nearest rounds down."""
    old = emit.opset < 11
    scales, sizes = emit.input(1 if old else 2), None if old else emit.input(3)
    coordinate = "asymmetric" if old else coordinate_transformation_mode
    if coordinate == "align_corners" and emit.opset < 18:
        coordinate = "align_corners_whole"  # length_resized is the tensor's extent; later the length before rounding
    roi = emit.input(1) if coordinate == "tf_crop_and_resize" else None
    for i in range(1, len(emit.inputs)):
        emit.known(i)  # from here on their data tell whether they depend on the model's inputs
    if scales is not None and (scales.shape == (0,) or sizes is not None):
        scales = None
    attrs = dict(mode=_lookup(emit, MODES, mode, "mode"),
                 coordinate=_lookup(emit, COORDINATES, coordinate, "coordinate_transformation_mode"),
                 nearest=_lookup(emit, NEAREST_MODES, "floor" if old else nearest_mode, "nearest_mode"),
                 antialias=antialias, exclude_outside=exclude_outside,
                 policy=_lookup(emit, POLICIES, keep_aspect_ratio_policy, "keep_aspect_ratio_policy"),
                 cubic_a=cubic_coeff_a, extrapolation=extrapolation_value)
    _resize(emit, scales, sizes, roi, axes, attrs)


@importer("Upsample")
def Upsample(emit: Emit, *, mode: str = "nearest", scales=None) -> None:
    """The operator before Resize; scales are an attribute before opset 9."""
    given = emit.input(1) if scales is None else emit.constant(np.asarray(scales, np.float32), "scales")
    emit.known(1)
    attrs = dict(mode=_lookup(emit, MODES, mode, "mode"), coordinate=COORDINATES["asymmetric"],
                 nearest=NEAREST_MODES["floor"])
    _resize(emit, given, None, None, None, attrs)


def _lookup(emit: Emit, table: dict[str, int], name: str, what: str) -> int:
    if name not in table:
        raise emit.unsupported(f"{what} {name!r} is not supported")
    return table[name]


def _resize(emit: Emit, scales: Value | None, sizes: Value | None, roi: Value | None, axes, attrs: dict) -> None:
    """Channels last, unless they are resized too: the last axis that changes should have something behind it."""
    x = emit.inputs[0]
    emit.keep_rank()
    if x.shape is None:
        raise emit.unsupported("the number of axes is not known")
    rank = len(x.shape)
    if x.dtype != np.float32 and (attrs["mode"] != MODES["nearest"] or roi is not None):
        raise emit.unsupported(f"elements of type {x.dtype} in this mode")
    if scales is not None and scales.data is not None and axes is None:
        _state_extents(emit, scales.data)
    if scales is None and sizes is None:
        raise emit.unsupported("it has neither scales nor sizes")
    listed = list(range(rank)) if axes is None else [int(a) % rank for a in axes]
    given = [scales, sizes, roi]
    if roi is not None and roi.dtype != np.float32:
        given[2] = emit.add("Cast", [roi], shape=roi.shape, dtype=np.float32)
    if rank < 3 or any(_may_change(x, listed, axis, scales, sizes) for axis in (0, 1)):
        emit.add("Resize", [x, *given], emit.out, axes=listed, **attrs)
        return
    order = (0, *range(2, rank), 1)
    last = emit.add("Transpose", [x], shape=permute(x.shape, order), perm=order)
    y = emit.add("Resize", [last, *given], shape=permute(emit.out.shape, order),
                 axes=[order.index(a) for a in listed], **attrs)
    emit.add("Transpose", [y], emit.out, perm=(0, rank - 1, *range(1, rank - 1)))


def _state_extents(emit: Emit, scales: np.ndarray) -> None:
    """Products in f32, as ONNX Runtime computes them; ONNX's inference takes doubles, and with a scale that is a
    rounding below the ratio finds one less."""
    emit.state_shape(tuple(int(np.float32(d) * s) if isinstance(d, int) else None
                           for d, s in zip(emit.inputs[0].shape, scales.astype(np.float32))))


def _may_change(x: Value, listed: list[int], axis: int, scales: Value | None, sizes: Value | None) -> bool:
    """Whether an axis is known to be resized; where only a run can tell, it is taken for a batch or channels."""
    if axis not in listed:
        return False
    if sizes is not None:
        return sizes.data is not None and isinstance(x.shape[axis], int) and \
            sizes.data[listed.index(axis)] != x.shape[axis]
    return scales.data is not None and scales.data[listed.index(axis)] != 1
