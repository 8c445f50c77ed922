"""Operators of ONNX on images that compute no weights: Resize, DepthToSpace, SpaceToDepth."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Value
from .emit import Emit
from .images import enter_nhwc, leave_nhwc, nhwc_shape
from .registry import importer

MODES = {"nearest": 0, "linear": 1, "bilinear": 1, "cubic": 2}
COORDINATES = {"half_pixel": 0, "asymmetric": 1, "align_corners": 2, "pytorch_half_pixel": 3, "half_pixel_symmetric": 4,
               "tf_crop_and_resize": 5}
NEAREST_MODES = {"round_prefer_floor": 0, "round_prefer_ceil": 1, "floor": 2, "ceil": 3}
POLICIES = {"stretch": 0, "not_larger": 1, "not_smaller": 2}


@importer("DepthToSpace")
def DepthToSpace(emit: Emit, *, blocksize: int, mode: str = "DCR") -> None:
    x, out = emit.inputs[0], emit.out
    y = emit.add("DepthToSpace", [emit.to_nhwc(x)], shape=nhwc_shape(out.shape), blocksize=blocksize,
                 mode=int(mode == "CRD"))
    emit.to_nchw(y)


@importer("SpaceToDepth")
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
    roi = emit.input(1) if coordinate == "tf_crop_and_resize" else None
    for i in range(1, len(emit.inputs)):
        emit.known(i)  # from here on their data tell whether they depend on the model's inputs
    if scales is not None and scales.data is not None and scales.data.size == 0:
        scales = None
    attrs = dict(mode=_lookup(emit, MODES, mode, "mode"),
                 coordinate=_lookup(emit, COORDINATES, coordinate, "coordinate_transformation_mode"),
                 nearest=_lookup(emit, NEAREST_MODES, "floor" if old else nearest_mode, "nearest_mode"),
                 antialias=antialias, exclude_outside=exclude_outside,
                 policy=_lookup(emit, POLICIES, keep_aspect_ratio_policy, "keep_aspect_ratio_policy"),
                 cubic_a=cubic_coeff_a, extrapolation=extrapolation_value)
    _resize(emit, scales if sizes is None else None, sizes, roi, axes, attrs)


@importer("Upsample")
def Upsample(emit: Emit, *, mode: str = "nearest", scales=None) -> None:
    """The operator before Resize; scales are an attribute before opset 9."""
    given = emit.input(1) if scales is None else emit.constant(np.asarray(scales, np.float32), "scales")
    attrs = dict(mode=_lookup(emit, MODES, mode, "mode"), coordinate=COORDINATES["asymmetric"],
                 nearest=NEAREST_MODES["floor"])
    _resize(emit, given, None, None, None, attrs)


def _lookup(emit: Emit, table: dict[str, int], name: str, what: str) -> int:
    if name not in table:
        raise emit.unsupported(f"{what} {name!r} is not supported")
    return table[name]


def _resize(emit: Emit, scales: Value | None, sizes: Value | None, roi: Value | None, axes, attrs: dict) -> None:
    x = emit.inputs[0]
    if x.shape is None:
        raise emit.unsupported("the number of axes is not known")
    rank = len(x.shape)
    if emit.out.shape is None:
        emit.out.shape = (*x.shape[:2], *[None] * (rank - 2)) if rank > 2 else (None,) * rank
    listed = list(range(rank)) if axes is None else [int(a) % rank for a in axes]
    _check_dtype(emit, x, attrs)
    spatial, image = _image_axes(emit, rank, listed, scales, sizes)
    if attrs.get("antialias") and any(v is not None and v.data is None for v in (scales, sizes)):
        raise emit.unsupported("antialias needs constant scales or sizes")
    operands = [None if v is None else _pick(emit, v, listed, spatial, fill)
                for v, fill in ((scales, 1.0), (sizes, None), (roi, None))]
    if image is None:
        y = emit.add("Resize", [enter_nhwc(emit, x), *operands], shape=nhwc_shape(emit.out.shape), **attrs)
        leave_nhwc(emit, y)
    else:  # axes that are no image: treat them as one, all others as 1
        flat = emit.add("Reshape", [x], shape=(1, *image(x.shape), 1))
        y = emit.add("Resize", [flat, *operands], shape=(1, *image(emit.out.shape), 1), **attrs)
        emit.add("Reshape", [y], emit.out)


def _check_dtype(emit: Emit, x: Value, attrs: dict) -> None:
    floats = attrs["mode"] != MODES["nearest"] or attrs["coordinate"] == COORDINATES["tf_crop_and_resize"]
    if floats and x.dtype != np.float32:
        raise emit.unsupported(f"elements of type {x.dtype} in this mode")


def _image_axes(emit: Emit, rank: int, listed: list[int], scales: Value | None, sizes: Value | None):
    """The axes (H, W) that are resized, H None if there is only W, and, where x is no N, C, (H,) W,
    how to see it as an image."""
    if rank in (3, 4) and not _touches(emit, listed, (0, 1), scales, sizes):
        return ((2, 3) if rank == 4 else (None, 2)), None
    if rank in (1, 2) and emit.inputs[0].is_static and emit.out.is_static:
        return ((0, 1) if rank == 2 else (None, 0)), lambda shape: shape if rank == 2 else (1, *shape)
    raise emit.unsupported("only the one or two last axes of N, C, (H,) W can be resized")


def _touches(emit: Emit, listed: list[int], fixed: tuple[int, ...], scales: Value | None, sizes: Value | None) -> bool:
    """Whether an axis that must keep its extent is resized. Dynamic sizes and extents are trusted:
    prepare compares shapes."""
    x = emit.inputs[0]
    for axis in set(fixed) & set(listed):
        at = listed.index(axis)
        if scales is not None and (scales.data is None or scales.data[at] != 1):
            return True
        if (sizes is not None and sizes.data is not None and isinstance(x.shape[axis], int)
                and x.shape[axis] != sizes.data[at]):
            return True
    return False


def _pick(emit: Emit, value: Value, listed: list[int], spatial: tuple, fill: float | None) -> Value:
    """The entries of scales, sizes or roi for (H, W); what is not listed keeps its extent."""
    if value.data is None:
        return _pick_computed(emit, value, listed, spatial)
    data, out = value.data, []
    starts, rest = data[:len(listed)], data[len(listed):]  # roi: starts, then ends
    for half, default in ((starts, 0.0), (rest, 1.0)) if rest.size else ((starts, fill),):
        for axis in spatial:
            if axis in listed:
                out.append(half[listed.index(axis)])
            elif default is None:
                out.append(1 if axis is None else emit.inputs[0].shape[axis])
            else:
                out.append(default)
    if any(not isinstance(v, (int, float, np.number)) for v in out):
        raise emit.unsupported("sizes leave out an axis that is dynamic")
    return emit.constant(np.array(out, np.float32 if data.dtype.kind == "f" else np.int64), "resize")


def _pick_computed(emit: Emit, value: Value, listed: list[int], spatial: tuple) -> Value:
    if (any(axis not in listed for axis in spatial if axis is not None)
            or value.dtype.kind == "f" and value is not emit.input(2)):
        raise emit.unsupported("these scales or sizes must be constants")
    wanted = emit.constant(np.array([listed.index(a) for a in spatial if a is not None], np.int64), "indices")
    picked = emit.add("Gather", [value, wanted], shape=wanted.shape, axis=0)
    if spatial[0] is None:
        picked = emit.add("Concat", [emit.constant(np.ones(1, value.dtype), "one"), picked], shape=(2,), axis=0)
    return picked
