"""What schemas cannot tell of operators on shapes: ranges of indices, axes, bounds."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
from onnx import helper
from draw import Draw, hint, numpy_type


@hint("Concat")
def concat(d: Draw) -> None:
    shape = d.data("inputs", d.any_shape(1, 4)).shape
    axis = d.axis(len(shape))
    others = [[d.whole(0, 4) if i == axis % len(shape) else e for i, e in enumerate(shape)]
              for _ in range(d.whole(0, 3))]
    d.set("inputs", [d.inputs["inputs"], *(d.value("inputs", s) for s in others)])
    d.attrs["axis"] = axis


@hint("Reshape")
def reshape(d: Draw) -> None:
    shape = list(d.data("data").shape)
    sizes, left = [], math.prod(shape)
    while left > 1 and len(sizes) < 4 and d.chance(0.8):
        sizes.append(d.pick(*(n for n in range(1, left + 1) if left % n == 0)))
        left //= sizes[-1]
    sizes = [*sizes, left] if left != 1 or not sizes else sizes
    if math.prod(shape) and d.chance(0.4):
        sizes[d.whole(0, len(sizes) - 1)] = -1
    d.attrs["allowzero"] = 1 if 0 in sizes else 0
    d.give("shape", sizes if sizes or shape else [])


@hint("Expand")
def expand(d: Draw) -> None:
    shape = list(d.data("input").shape)
    wanted = [d.whole(1, 3) if e == 1 else d.pick(e, 1) for e in shape]
    d.set("shape", d.pick([], [d.whole(1, 3)]) + wanted)


@hint("Tile")
def tile(d: Draw) -> None:
    d.set("repeats", [d.whole(0 if d.chance(0.1) else 1, 3) for _ in d.data("input").shape])


@hint("Squeeze")
def squeeze(d: Draw) -> None:
    shape = d.data("data", [d.pick(1, 1, d.whole(1, 4)) for _ in range(d.whole(1, 5))]).shape
    ones = [i for i, e in enumerate(shape) if e == 1]
    chosen = [i - len(shape) if d.opset >= 11 and d.chance(0.3) else i for i in ones if d.chance(0.7)]
    d.give("axes", chosen or None)


@hint("Unsqueeze")
def unsqueeze(d: Draw) -> None:
    rank = d.data("data", None).ndim
    more = d.whole(1, 2)
    d.give("axes", d.axes(rank + more, rank + more)[:more])


@hint("Flatten", "Softmax", "LogSoftmax", "Hardmax", "ArgMax", "ArgMin", "LpNormalization")
def over_axis(d: Draw) -> None:
    shape = d.data(d.schema.inputs[0].name, d.any_shape(1, 4)).shape
    d.attrs["axis"] = d.axis(len(shape)) if d.chance(0.8) or len(shape) == 1 else None
    d.attrs["p"] = d.whole(1, 2)


@hint("Transpose")
def transpose(d: Draw) -> None:
    rank = d.data("data").ndim
    d.attrs["perm"] = [int(a) for a in d.rng.permutation(rank)] if d.chance(0.8) and rank else None


@hint("Trilu", "EyeLike")
def matrices(d: Draw) -> None:
    d.data(d.schema.inputs[0].name, d.any_shape(2, 4) if d.name == "Trilu" else None,
           2 if d.name == "EyeLike" else None)
    if d.name == "Trilu":
        d.set("k", d.whole(-3, 3) if d.chance(0.6) else None)
    else:
        d.attrs["k"] = d.whole(-2, 2)


@hint("Gather", "GatherElements", "Scatter", "ScatterElements")
def gather(d: Draw) -> None:
    shape = d.data("data", d.any_shape(1, 4)).shape
    axis = d.axis(len(shape))
    extent = shape[axis]
    if not extent:
        raise LookupError("nothing to index")
    at = d.any_shape(0, 3) if d.name == "Gather" else [d.whole(0 if e < 1 else 1, e) for e in shape]
    d.set("indices", d.rng.integers(-extent if d.opset >= 11 else 0, extent, at).astype(d.of("indices")))
    d.attrs["axis"] = axis
    if "updates" in d.formal:
        unique = d.rng.permutation(extent)
        if d.attrs.get("reduction") is None and at[axis] <= extent:  # the order of equal indices is nobody's promise
            order = np.reshape(unique[:at[axis]], [-1 if i == axis % len(shape) else 1 for i in range(len(shape))])
            d.set("indices", np.broadcast_to(order, at).astype(d.of("indices")))
        d.set("updates", d.value("updates", at))
        d.attrs["reduction"] = d.pick(None, "add", "mul", "max", "min") if d.has("reduction") else None


@hint("GatherND", "ScatterND")
def gather_nd(d: Draw) -> None:
    shape = d.data("data", d.any_shape(1, 4)).shape
    batch = d.whole(0, len(shape) - 1) if d.has("batch_dims") and d.chance(0.3) else 0
    depth = d.whole(1, len(shape) - batch)
    indexed = shape[batch:batch + depth]
    if min(indexed) == 0:
        raise LookupError("nothing to index")
    at = [*shape[:batch], *d.any_shape(0, 2)]
    if d.name == "ScatterND":
        at = [d.whole(1, min(3, math.prod(indexed)))]
        flat = d.rng.permutation(math.prod(indexed))[:at[0]]
        places = np.stack(np.unravel_index(flat, indexed), -1)
        d.set("updates", d.value("updates", [*at, *shape[depth:]]))
        d.attrs["reduction"] = d.pick(None, "add", "mul", "max", "min") if d.has("reduction") else None
    else:
        places = np.stack([d.rng.integers(-e, e, at) for e in indexed], -1)
    d.set("indices", places.astype(np.int64))
    d.attrs["batch_dims"] = batch


@hint("Slice")
def slices(d: Draw) -> None:
    shape = d.data("data", d.any_shape(1, 4)).shape
    axes = d.axes(len(shape), 1)
    if d.chance(0.2):
        axes = list(range(len(shape)))
    steps = [d.pick(1, 1, 2, -1, -2, 3) if "steps" in d.formal else 1 for _ in axes]
    starts = [d.whole(-shape[a] - 1, shape[a] + 1) for a in axes]
    ends = [d.pick(d.whole(-shape[a] - 1, shape[a] + 1), 2 ** 31 - 1 if s > 0 else -2 ** 31 + 1)
            for a, s in zip(axes, steps)]
    d.give("starts", starts)
    d.give("ends", ends)
    d.give("axes", None if axes == list(range(len(shape))) and d.chance(0.5) else axes)
    if "steps" in d.formal:
        d.set("steps", steps if d.inputs.get("axes") is not None and any(s != 1 for s in steps) else None)


@hint("Pad")
def pad(d: Draw) -> None:
    shape = d.data("data", d.any_shape(1, 4)).shape
    mode = d.pick("constant", "constant", "reflect", "edge", *(["wrap"] if d.opset >= 19 else []))
    axes = d.axes(len(shape), 1) if "axes" in d.formal and d.chance(0.3) else None
    over = shape if axes is None else [shape[a] for a in axes]
    pads = [d.whole(0, 3 if mode != "reflect" else max(min(e - 1, 3), 0)) for _ in range(2) for e in over]
    if mode == "constant" and d.chance(0.3):
        pads = [d.whole(-min(1, e // 3), 2) for _ in range(2) for e in over]
    d.give("pads", pads)
    d.attrs["mode"] = mode
    if "axes" in d.formal:
        d.set("axes", axes)
    if "constant_value" in d.formal:
        d.set("constant_value", d.numbers(d.of("constant_value"), []) if mode == "constant" and d.chance(0.6) else None)


@hint("Split")
def split(d: Draw) -> None:
    shape = d.data("input", d.any_shape(1, 4)).shape
    axis = d.axis(len(shape))
    parts = d.whole(1, 3)
    cuts = sorted(d.whole(0, shape[axis]) for _ in range(parts - 1))
    d.outputs, d.attrs["axis"], d.attrs["num_outputs"] = parts, axis, None
    if d.chance(0.6) or shape[axis] % parts:
        d.give("split", [b - a for a, b in zip([0, *cuts], [*cuts, shape[axis]])])
    else:
        d.give("split", None)
        d.attrs["num_outputs"] = parts


@hint("SpaceToDepth", "DepthToSpace")
def blocks(d: Draw) -> None:
    block = d.whole(1, 3)
    more, sides = (block * block, 1) if d.name == "DepthToSpace" else (1, block)
    d.data("input", [d.whole(1, 2), d.whole(1, 3) * more, d.whole(1, 3) * sides, d.whole(1, 3) * sides])
    d.attrs["blocksize"] = block


@hint("Compress")
def compress(d: Draw) -> None:
    shape = d.data("input", d.any_shape(1, 4)).shape
    axis = d.axis(len(shape)) if d.chance(0.6) else None
    extent = math.prod(shape) if axis is None else shape[axis]
    d.set("condition", d.numbers(np.dtype(bool), [d.whole(0, extent)]))
    d.attrs["axis"] = axis


@hint("TopK")
def top_k(d: Draw) -> None:
    shape = d.data("X", d.any_shape(1, 4)).shape
    axis = d.axis(len(shape))
    d.give("K", [d.whole(0 if d.chance(0.1) else min(1, shape[axis]), shape[axis])])
    d.attrs |= {"axis": axis, "sorted": 1, "k": d.whole(1, max(shape[axis], 1))}


@hint("Unique")
def unique(d: Draw) -> None:
    d.data("X", d.any_shape(1, 3))
    d.attrs["axis"] = d.axis(len(d.shape)) if d.chance(0.5) else None
    d.outputs = d.whole(1, 4)


@hint("CumSum", "CumProd")
def cumulate(d: Draw) -> None:
    axis = d.axis(d.data("x", d.any_shape(1, 4)).ndim)
    d.set("axis", axis)


@hint("OneHot")
def one_hot(d: Draw) -> None:
    depth = d.whole(1, 5)
    low = 0 if d.of("indices").kind == "u" or d.opset < 11 else -depth
    d.set("indices", d.rng.integers(low, depth, d.shape).astype(d.of("indices")))
    d.set("depth", d.pick(depth, [depth]))
    d.set("values", d.numbers(d.of("values"), [2]))
    d.attrs["axis"] = d.whole(-1, len(d.shape))


@hint("Range")
def ranges(d: Draw) -> None:
    start, step = d.whole(-5, 5), d.pick(1, 2, -1, 3)
    for name, number in (("start", start), ("limit", start + step * d.whole(0, 4) + d.whole(0, 1)), ("delta", step)):
        d.set(name, number)


@hint("ConstantOfShape")
def constant_of_shape(d: Draw) -> None:
    d.set("input", np.array(d.any_shape(), np.int64))


@hint("Constant")
def constants(d: Draw) -> None:
    values = {"value_float": 0.5, "value_floats": [0.5, -2.0], "value_int": -3, "value_ints": [1, 2, 3]}
    choice = d.pick("value", *(k for k in values if d.has(k)))
    d.attrs |= dict.fromkeys(d.schema.attributes)
    d.attrs[choice] = values.get(choice) or d._attribute("value", d.schema.attributes["value"])


@hint("Cast", "CastLike")
def cast(d: Draw) -> None:
    """Negative floats have no defined result as unsigned numbers."""
    x = d.data("input")
    known = [t for t in map(numpy_type, d.allowed["T2"]) if t is not None]
    if x.dtype.kind not in "iub" and x.astype(np.float64).min(initial=0) < 0:
        known = [t for t in known if t.kind == "b" or np.array(-1.0).astype(t) < 0]
    dtype = d.pick(*known)
    d.attrs["to"] = helper.np_dtype_to_tensor_dtype(dtype)
    d.set("target_type", d.numbers(dtype, d.any_shape(0, 2)))
    d.attrs |= {"saturate": None, "round_mode": None}


@hint("BitCast")
def bit_cast(d: Draw) -> None:
    """Of numbers that nobody computed: their last bits are anybody's."""
    size = d.set("input", d.numbers(d.of("input"), d.shape)).dtype.itemsize
    known = [t for t in (np.float32, np.int32, np.uint32, np.float64, np.int64, np.uint64, np.int8, np.uint8, np.int16,
                         np.uint16, np.float16) if np.dtype(t).itemsize == size]
    d.attrs["to"] = helper.np_dtype_to_tensor_dtype(np.dtype(d.pick(*known)))


@hint("ReverseSequence")
def reverse_sequence(d: Draw) -> None:
    shape = d.data("input", d.any_shape(2, 4)).shape
    batch = d.whole(0, 1)
    d.set("sequence_lens", d.rng.integers(1, max(shape[1 - batch], 1) + 1, shape[batch]).astype(np.int64))
    d.attrs |= {"batch_axis": batch, "time_axis": 1 - batch}


@hint("Where")
def where(d: Draw) -> None:
    d.data("X")
    d.set("condition", d.numbers(np.dtype(bool), [1 if d.chance(0.3) else e for e in d.shape]))


@hint("PRelu")
def prelu(d: Draw) -> None:
    shape = d.data("X", d.any_shape(1, 4)).shape
    d.set("slope", d.value("slope", [1 if d.chance(0.4) else e for e in shape][d.whole(0, len(shape) - 1):]))


@hint(*(f"Reduce{kind}" for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum",
                                     "SumSquare")))
def reduce(d: Draw) -> None:
    rank = d.data("data").ndim
    d.give("axes", d.axes(rank, 1) or None if d.chance(0.7) else None)
