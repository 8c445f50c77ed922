"""Conv and ConvTranspose of ONNX: one to three spatial axes, any groups, weights that may be computed by the model."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ...ir import Value
from ...target.format import round_up
from ...target.layouts import PANEL
from .emit import Emit, permute
from .images import PADS, SAME, enter_nhwc, kernel_of, leave_nhwc, nhwc_shape, window_attrs
from .registry import importer

TO_THE_END = 2**31 - 1  # of Slice


@importer("Conv")
def Conv(emit: Emit, *, auto_pad: str = "NOTSET", dilations=None, group: int = 1, kernel_shape=None, pads=None,
         strides=None) -> None:
    _check_dtypes(emit)
    emit.known(1)
    weights = emit.inputs[1]
    attrs = window_attrs(emit, emit.inputs[0], kernel_of(emit, weights, kernel_shape), strides, dilations, auto_pad,
                         pads)
    _convolve(emit, "Conv", _outputs_first(emit, weights, (0, *range(2, len(weights.shape)), 1)), group=group, **attrs)


@importer("ConvTranspose")
def ConvTranspose(emit: Emit, *, auto_pad: str = "NOTSET", dilations=None, group: int = 1, kernel_shape=None,
                  output_padding=None, output_shape=None, pads=None, strides=None) -> None:
    """Weights are (inputs, outputs of a group, ...)."""
    _check_dtypes(emit)
    emit.known(1)
    x, weights = emit.inputs[:2]
    kernel = kernel_of(emit, weights, kernel_shape)
    rank = len(kernel)
    attrs = window_attrs(emit, x, kernel, strides, dilations, "NOTSET", None if auto_pad != "NOTSET" else pads)
    attrs["same"] = SAME.get(auto_pad, 0)
    attrs.update(zip([f"output_padding_{d}" for d in "dhw"[-rank:]], output_padding or ()))
    if _is_narrow(emit, attrs, group, output_shape):
        _convolve_blocks(emit, weights.data, attrs)
        return
    if output_shape:
        attrs["output_shape"] = [*[1] * (rank == 1), *output_shape[-rank:]]
    _convolve(emit, "ConvTranspose", _split_groups(emit, weights, group), group=group, **attrs)


def _check_dtypes(emit: Emit) -> None:
    for value in emit.inputs:
        if value is not None and value.dtype != np.float32:
            raise emit.unsupported(f"elements of type {value.dtype}")


def _convolve(emit: Emit, op: str, weights: Value, **attrs) -> None:
    x = emit.inputs[0]
    emit.keep_rank()
    emit.known(2)
    y = emit.add(op, [enter_nhwc(emit, x), weights, emit.input(2)], shape=nhwc_shape(emit.out.shape),
                 min=-np.inf, max=np.inf, **attrs)
    leave_nhwc(emit, y)


def _outputs_first(emit: Emit, weights: Value, order: tuple[int, ...]) -> Value:
    """(outputs, kernel, inputs of a group): an image of one row has a kernel of one row."""
    shape = permute(weights.shape, order)
    wide = (shape[0], 1, *shape[1:]) if len(shape) == 3 else shape
    if weights.data is not None:
        return emit.constant(weights.data.transpose(order).reshape(wide), "weights")
    moved = emit.add("Transpose", [weights], shape=shape, perm=order)
    if wide is shape:
        return moved
    return emit.add("Unsqueeze", [moved, emit.constant(np.array([1], np.int64), "axes")], shape=wide)


def _split_groups(emit: Emit, weights: Value, group: int) -> Value:
    """From (inputs, outputs of a group, kernel)."""
    inputs, outputs, *kernel = weights.shape
    axes = range(2, len(weights.shape))
    if group == 1:
        return _outputs_first(emit, weights, (1, *axes, 0))
    if not isinstance(inputs, int) or inputs % group or not isinstance(outputs, int):
        raise emit.unsupported(f"{group} groups do not divide {inputs} inputs")
    split, order = (group, inputs // group, outputs, *kernel), (0, 2, *(a + 1 for a in axes), 1)
    joined = (group * outputs, *[1] * (len(kernel) == 1), *kernel, inputs // group)
    if weights.data is not None:
        return emit.constant(weights.data.reshape(split).transpose(order).reshape(joined), "weights")
    moved = emit.add("Transpose", [emit.add("Reshape", [weights], shape=split)], shape=permute(split, order),
                     perm=order)
    return emit.add("Reshape", [moved], shape=joined)


# ---- a ConvTranspose with few outputs: a Conv that makes whole blocks of pixels


def _is_narrow(emit: Emit, attrs: dict, group: int, output_shape) -> bool:
    """Whether panels of 16 would be mostly empty for one phase, and fuller with all phases side by side."""
    weights = emit.inputs[1].data
    letters = "dhw"[2 - len(emit.inputs[1].shape):]
    plain = weights is not None and group == 1 and not output_shape and not attrs["same"] and letters != "dhw"
    strides = [attrs[f"stride_{d}"] for d in letters]
    if not plain or any(attrs[f"dilation_{d}"] != 1 for d in letters) or len(set(strides)) > 1 or strides[0] == 1:
        return False
    kernel, outputs = weights.shape[2:], weights.shape[1]
    taps = math.prod(-(-k // s) for k, s in zip(kernel, strides))
    return 2 * taps * round_up(math.prod(strides) * outputs, PANEL) <= math.prod(kernel) * round_up(outputs, PANEL)


def _convolve_blocks(emit: Emit, weights: np.ndarray, a: dict) -> None:
    """Output q = stride * j + phase, pads included, is made of inputs j - t and taps phase + stride * t: a window of
    `reach` inputs. Pads are cut off then."""
    x, outputs, letters = emit.inputs[0], weights.shape[1], "dhw"[2 - weights.ndim:]
    stride, attrs = a[f"stride_{letters[0]}"], dict(a, group=1, same=0)
    starts, ends = [], []
    for d, kernel in zip(letters, weights.shape[2:]):
        reach, (before, after) = -(-kernel // stride), PADS[d]
        left_over = stride * reach - kernel - a.get(f"output_padding_{d}", 0) + a[after]
        more = max(-(left_over // stride), 0)
        starts.append(a[before])
        ends.append(-(left_over + more * stride) or TO_THE_END)
        attrs.update({f"kernel_{d}": reach, f"stride_{d}": 1, before: reach - 1, after: reach - 1 + more})
        attrs.pop(f"output_padding_{d}", None)
    blocks = weights[np.newaxis]  # (phases, inputs, outputs, kernel)
    for axis in range(3, blocks.ndim):  # tap phase + stride * t of the kernel to tap reach - 1 - t, each phase apart
        missing = -blocks.shape[axis] % stride
        padded = np.pad(blocks, [(0, missing if i == axis else 0) for i in range(blocks.ndim)])
        split = padded.reshape(*padded.shape[:axis], -1, stride, *padded.shape[axis + 1:])
        moved = np.flip(np.moveaxis(split, axis + 1, 1), axis + 1)
        blocks = moved.reshape(-1, *moved.shape[2:])
    count = blocks.shape[0] * outputs  # (phases, outputs, kernel, inputs)
    kernel = blocks.transpose(0, 2, *range(3, blocks.ndim), 1)
    kernel = kernel.reshape(count, *[1] * (len(letters) == 1), *kernel.shape[2:])
    emit.known(2)
    bias = emit.input(2)
    if bias is not None:
        bias = emit.constant(np.tile(bias.data, blocks.shape[0]), "bias") if bias.data is not None else \
            emit.add("Tile", [bias, emit.constant(np.array([blocks.shape[0]]), "n")], shape=(count,))
    image = emit.add("Conv", [enter_nhwc(emit, x), emit.constant(kernel, "weights"), bias],
                     shape=(x.shape[0], *[1] * (len(letters) == 1), *[None] * len(letters), count), min=-np.inf,
                     max=np.inf, **attrs)
    shape = (*image.shape[:-1], outputs)
    if len(letters) == 1:
        spread = emit.add("Reshape", [image, emit.constant(np.array([0, 1, -1, outputs]), "shape")], shape=shape)
    else:
        spread = emit.add("DepthToSpace", [image], shape=shape, blocksize=stride)
    axes = np.arange(3 - len(letters), 3)
    cut = emit.add("Slice", [spread, *(emit.constant(np.array(v, np.int64), n)
                                       for v, n in ((starts, "starts"), (ends, "ends"), (axes, "axes")))],
                   shape=nhwc_shape(emit.out.shape))
    leave_nhwc(emit, cut)
