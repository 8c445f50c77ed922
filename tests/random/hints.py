"""What schemas cannot tell of operators: shapes that go with each other, ranges of indices."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
from onnx import helper, numpy_helper
from draw import Draw, hint, numpy_type


def _windows(d: Draw, sides: tuple[int, ...], kernel: list[int] | None = None) -> list[int]:
    """kernel_shape, strides, dilations and pads of windows over these sides."""
    kernel = kernel or [d.whole(1, max(min(3, s), 1)) for s in sides]
    d.attrs["kernel_shape"] = kernel
    d.attrs["strides"] = [d.whole(1, 3) for _ in sides] if d.chance(0.5) else None
    d.attrs["dilations"] = [d.whole(1, 2) for _ in sides] if d.chance(0.4) else None
    d.attrs["pads"], d.attrs["auto_pad"] = None, None
    if d.chance(0.3):
        d.attrs["auto_pad"] = d.pick("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")
        if d.attrs["strides"]:  # where windows leave gaps, ONNX Runtime has negative pads
            d.attrs["strides"] = [min(k, s) for k, s in zip(kernel, d.attrs["strides"])]
    elif d.chance(0.6):
        d.attrs["pads"] = [d.whole(0, max(k - 1, 0)) for k in kernel + kernel]
    return kernel


def _spatial(d: Draw, ranks=(1, 2, 2, 3), channels: int | None = None) -> tuple[int, ...]:
    sides = d.pick(*ranks)
    return (d.whole(1, 2), channels or d.whole(1, 6), *(d.whole(3, 9) for _ in range(sides)))


def _picture(d: Draw, name: str, **more) -> tuple[int, ...]:
    """State an operand of batch, channels and sides: one that was made, if it is like that."""
    d.data(name, rank=d.pick(3, 4, 4, 5)) if d.pool else None
    if d.pool and len(d.shape) > 2 and min(d.shape) > 0 and not more:
        return d.shape
    return d.data(name, _spatial(d, **more)).shape


@hint("Conv", "FusedConv", "ConvInteger")
def conv(d: Draw) -> None:
    group = d.pick(1, 1, 1, 2, 3)
    shape = _spatial(d, channels=group * d.whole(1, 4))
    if d.pool and d.chance(0.8):
        shape = _picture(d, "X")
        group = d.pick(1, shape[1])
    d.data("X", shape)
    kernel = _windows(d, shape[2:])
    made = group * d.whole(1, 5)
    d.set("W", d.value("W", [made, shape[1] // group, *kernel]))
    d.maybe("B", [made])
    d.attrs["group"] = group
    if d.chance(0.3):
        d.attrs["kernel_shape"] = None
    if d.name == "FusedConv":
        d.set("Z", None)
        d.attrs["activation"] = d.pick("Relu", "Tanh", "Sigmoid", "LeakyRelu", "Clip")
        d.attrs["activation_params"] = {"LeakyRelu": [0.2], "Clip": [-0.5, 0.5]}.get(d.attrs["activation"])


@hint("ConvTranspose")
def conv_transpose(d: Draw) -> None:
    group = d.pick(1, 1, 2, 3)
    shape = d.data("X", _spatial(d, channels=group * d.whole(1, 3))).shape
    kernel = _windows(d, shape[2:])
    made = d.whole(1, 3)
    d.set("W", d.value("W", [shape[1], made, *kernel]))
    d.maybe("B", [made * group])
    strides = d.attrs["strides"] or [1] * len(kernel)
    d.attrs |= {"group": group, "output_padding": [d.whole(0, s - 1) for s in strides] if d.chance(0.4) else None,
                "output_shape": None}
    if d.chance(0.15):
        d.attrs |= {"output_shape": [s * e + d.whole(0, 1) for s, e in zip(strides, shape[2:])], "pads": None,
                    "output_padding": None}


@hint("DeformConv")
def deform_conv(d: Draw) -> None:
    group, offsets = d.pick(1, 2), d.pick(1, 2)
    shape = d.data("X", _spatial(d, (2,), 2 * d.whole(1, 2))).shape
    kernel = _windows(d, shape[2:])
    d.attrs["auto_pad"] = None
    pads, ones = d.attrs["pads"] or [0] * 4, [1, 1]
    sides = [(s + pads[i] + pads[i + 2] - (d.attrs["dilations"] or ones)[i] * (kernel[i] - 1) - 1)
             // (d.attrs["strides"] or ones)[i] + 1 for i, s in enumerate(shape[2:])]
    if min(sides) < 1:
        raise LookupError("no place for a window")
    made = group * d.whole(1, 2)
    d.set("W", d.value("W", [made, shape[1] // group, *kernel]))
    d.set("offset", d.value("offset", [shape[0], offsets * math.prod(kernel) * 2, *sides]))
    d.maybe("B", [made])
    d.maybe("mask", [shape[0], offsets * math.prod(kernel), *sides])
    d.attrs |= {"group": group, "offset_group": offsets}


@hint("AveragePool", "MaxPool", "LpPool")
def pool(d: Draw) -> None:
    _windows(d, _picture(d, "X")[2:])
    if d.name == "MaxPool":
        d.outputs = d.pick(1, 1, 2)
    if d.name == "LpPool":
        d.attrs["p"] = d.whole(1, 3)


@hint("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "LRN", "MeanVarianceNormalization")
def pictures(d: Draw) -> None:
    _picture(d, "X")
    d.attrs |= {"p": d.whole(1, 3), "size": d.pick(1, 3, 5, 2)}
    if d.name == "MeanVarianceNormalization":
        d.attrs["axes"] = d.axes(len(d.shape), 1) if d.chance(0.5) else None


@hint("MaxUnpool")
def max_unpool(d: Draw) -> None:
    shape = d.data("X", _spatial(d, (1, 2, 3))).shape
    kernel = [d.whole(1, 3) for _ in shape[2:]]
    d.attrs |= {"kernel_shape": kernel, "strides": [max(k, 2) for k in kernel], "pads": None}
    room = math.prod((s - 1) * max(k, 2) + k for s, k in zip(shape[2:], kernel))
    whole = [d.rng.permutation(room)[:math.prod(shape[2:])] for _ in range(shape[0] * shape[1])]
    d.set("I", np.reshape(whole, shape).astype(np.int64))
    d.set("output_shape", None)


@hint("BatchNormalization", "InstanceNormalization", "GroupNormalization")
def channel_norm(d: Draw) -> None:
    first = d.schema.inputs[0].name
    shape = _picture(d, first)
    channels, groups = shape[1], d.pick(*(g for g in range(1, shape[1] + 1) if shape[1] % g == 0))
    extent = groups if d.name == "GroupNormalization" and d.opset < 21 else channels
    for parameter in d.schema.inputs[1:]:
        array = d.numbers(d.of(parameter.name), [extent])
        d.set(parameter.name, np.abs(array) if "var" in parameter.name else array)
    d.attrs |= {"num_groups": groups, "spatial": None, "epsilon": d.pick(1e-5, 1e-2), "training_mode": 0,
                "momentum": 0.8}
    if d.name == "BatchNormalization":
        training = d.opset >= 14 and d.chance(0.2)
        d.attrs["training_mode"], d.outputs = int(training), 3 if training else 1


@hint("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
def layer_norm(d: Draw) -> None:
    shape = d.data(d.schema.inputs[0].name, d.any_shape(1, 4)).shape
    axis = d.axis(len(shape))
    for parameter in d.schema.inputs[1:]:
        if parameter.option.name == "Single" or d.chance(0.5):
            d.set(parameter.name, d.numbers(d.of(parameter.name), shape[axis:]))
    d.attrs |= {"axis": axis, "stash_type": 1, "epsilon": d.pick(1e-5, 1e-2)}
    d.outputs = d.pick(1, 1, len(d.schema.outputs))


@hint("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
def skip_norm(d: Draw) -> None:
    shape = d.data("input", [d.whole(1, 3), d.whole(1, 4), d.whole(1, 9)]).shape
    d.set("skip", d.value("skip", shape))
    for name in ("gamma", "beta", "bias"):
        if name in d.formal:
            d.set(name, d.value(name, shape[-1:]) if name == "gamma" or d.chance(0.5) else None)
    d.outputs = d.pick(1, 1, 4)


@hint("BiasGelu")
def bias_gelu(d: Draw) -> None:
    d.data("A", d.any_shape(1, 4))
    d.set("B", d.value("B", d.shape[-1:]))


@hint("FastGelu")
def fast_gelu(d: Draw) -> None:
    d.data("X", d.any_shape(1, 4))
    d.maybe("bias", d.shape[-1:])


@hint("Gemm", "FusedGemm")
def gemm(d: Draw) -> None:
    m, k, n = (d.whole(1, 9) for _ in range(3))
    turned_a, turned_b = d.chance(0.3), d.chance(0.3)
    a = d.data("A", rank=2) if d.pool else d.data("A", [k, m] if turned_a else [m, k])
    m, k = a.shape[::-1] if turned_a else a.shape
    d.set("B", d.value("B", [n, k] if turned_b else [k, n]))
    if d.opset < 11 or d.chance(0.7):
        d.set("C", d.value("C", d.pick([m, n], [n], [1], [], [1, n], [m, 1])))
    d.attrs |= {"transA": int(turned_a), "transB": int(turned_b)}
    if d.name == "FusedGemm":
        d.attrs |= {"activation": d.pick("Relu", "Tanh", "Sigmoid", "LeakyRelu"), "activation_alpha": 0.2}


@hint("MatMul", "MatMulInteger", "FusedMatMul")
def mat_mul(d: Draw) -> None:
    k, outer = d.whole(1, 9), d.any_shape(0, 2)
    a = [*outer[d.whole(0, len(outer)):], d.whole(1, 5), k]
    b = [*(1 if d.chance(0.3) else e for e in outer[d.whole(0, len(outer)):]), k, d.whole(1, 6)]
    turned = {"transA": d.chance(0.3), "transB": d.chance(0.3)} if d.name == "FusedMatMul" else {}
    a = [*a[:-2], a[-1], a[-2]] if turned.get("transA") else a[-1:] if d.chance(0.1) and not turned else a
    b = [*b[:-2], b[-1], b[-2]] if turned.get("transB") else b[-2:-1] if d.chance(0.1) and not turned else b
    d.data("A", a)
    d.set("B", d.value("B", b))
    d.attrs |= {k: int(v) for k, v in turned.items()} | {"transBatchA": 0, "transBatchB": 0}
    if d.name == "MatMulInteger":
        d.maybe("a_zero_point", [])
        d.maybe("b_zero_point", d.pick([], b[-1:]) if len(b) > 1 else [])


@hint("Einsum")
def einsum(d: Draw) -> None:
    letters, sizes = "ijkl", {c: d.whole(1, 4) for c in "ijkl"}
    terms = ["".join(d.rng.permutation(list(letters))[:d.whole(1, 3)]) for _ in range(d.whole(1, 3))]
    used = sorted(set("".join(terms)))
    result = "".join(d.rng.permutation(used)[:d.whole(0, len(used))])
    dots = "..." if d.chance(0.2) else ""
    more = d.any_shape(1, 2) if dots else ()
    d.set("Inputs", [d.value("Inputs", [*more, *(sizes[c] for c in t)]) for t in terms])
    d.attrs["equation"] = ",".join(dots + t for t in terms) + (f"->{dots}{result}" if dots or d.chance(0.8) else "")


@hint("RNN", "GRU", "LSTM")
def rnn(d: Draw) -> None:
    steps, batch, inputs, hidden = d.whole(1, 5), d.whole(1, 3), d.whole(1, 4), d.whole(1, 4)
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[d.name]
    direction = d.pick("forward", "reverse", "bidirectional")
    ways = 2 if direction == "bidirectional" else 1
    layout = d.whole(0, 1) if d.opset >= 14 and d.chance(0.3) else 0
    d.data("X", [batch, steps, inputs] if layout else [steps, batch, inputs])
    d.set("W", d.value("W", [ways, gates * hidden, inputs]))
    d.set("R", d.value("R", [ways, gates * hidden, hidden]))
    d.maybe("B", [ways, 2 * gates * hidden])
    state = [batch, ways, hidden] if layout else [ways, batch, hidden]
    d.maybe("initial_h", state)
    d.maybe("initial_c", state)
    d.maybe("P", [ways, 3 * hidden])
    d.set("sequence_lens", d.rng.integers(1, steps + 1, batch).astype(np.int32) if d.chance(0.3) else None)
    known = ["Relu", "Tanh", "Sigmoid", "Softsign", "Softplus", "Elu", "LeakyRelu", "HardSigmoid", "Affine",
             "ThresholdedRelu", "ScaledTanh"]
    count = {"RNN": 1, "GRU": 2, "LSTM": 3}[d.name] * ways
    d.attrs |= {"hidden_size": hidden, "direction": direction, "layout": layout, "output_sequence": None,
                "activations": [d.pick(*known[:5]) for _ in range(count)] if d.chance(0.4) else None,
                "activation_alpha": None, "activation_beta": None, "clip": 1.5 if d.chance(0.2) else None,
                "input_forget": 0}
    d.outputs = d.whole(1, len(d.schema.outputs))


@hint("Clip")
def clip(d: Draw) -> None:
    if "min" not in d.formal:
        d.attrs |= {"min": -1.0 if d.chance(0.7) else None, "max": 1.5 if d.chance(0.7) else None}
        return
    d.data("input")
    for name in ("min", "max"):
        d.maybe(name, [])


@hint("BitShift")
def bit_shift(d: Draw) -> None:
    d.attrs["direction"] = d.pick("LEFT", "RIGHT")


@hint("Mod")
def mod(d: Draw) -> None:
    floats = d.of("A").kind not in "iu"
    d.attrs["fmod"] = 1 if floats else d.whole(0, 1)
    if not floats:
        divisor = d.numbers(d.of("B"), d.shape)
        d.set("A", d.value("A", d.shape))
        d.set("B", np.where(divisor == 0, 3, divisor).astype(divisor.dtype))


@hint("Div")
def div(d: Draw) -> None:
    if d.of("B").kind in "iu":
        divisor = d.numbers(d.of("B"), d.shape)
        d.set("A", d.value("A", d.shape))
        d.set("B", np.where(divisor == 0, 3, divisor).astype(divisor.dtype))


@hint("Pow")
def power(d: Draw) -> None:
    d.data("X")
    exponent = d.schema.inputs[1].name
    d.set(exponent, d.numbers(d.of(exponent), d.pick(d.shape, [], [1])))
    if d.of("X").kind in "iu" or d.inputs[exponent].dtype.kind in "i":  # a root of -1 is no whole number
        d.set(exponent, np.abs(np.rint(d.inputs[exponent])).astype(d.of(exponent)))


@hint("QuantizeLinear", "DequantizeLinear")
def quantize(d: Draw) -> None:
    names = [p.name for p in d.schema.inputs]
    x = d.data(names[0], d.any_shape(0, 4))
    axis = d.axis(x.ndim)
    shape = [x.shape[axis]] if x.ndim and d.has("axis") and d.chance(0.5) else []
    d.attrs |= {"axis": axis if shape else None, "block_size": None, "saturate": None, "precision": None}
    if shape and d.has("block_size") and d.chance(0.4) and x.shape[axis] > 0:
        block = d.whole(1, x.shape[axis])
        shape = [-(-e // block) if i == axis % x.ndim else e for i, e in enumerate(x.shape)]
        d.attrs["block_size"] = block
    d.set(names[1], (np.abs(d.numbers(np.float32, shape)) + 0.05).astype(d.of(names[1])))
    d.maybe(names[2], shape)
    zero = d.inputs[names[2]]
    if zero is not None and zero.dtype.kind not in "iu" and "float" in zero.dtype.name:
        d.set(names[2], np.zeros_like(zero))  # floats have no other
    if d.name == "QuantizeLinear" and d.inputs[names[2]] is not None:
        d.attrs["output_dtype"] = None


@hint("Dropout")
def dropout(d: Draw) -> None:
    d.data("data")
    d.maybe("ratio", [])
    if "training_mode" in d.formal:
        d.set("training_mode", d.pick(None, np.array(False)))
    d.outputs = d.pick(1, 2) if d.opset >= 12 else 1  # what a mask is without training was open before


# ---- shapes and indices


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


# ---- pictures and signals


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
    shape = d.data("X", _spatial(d, (2, 2, 3) if d.opset >= 20 else (2,))).shape
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
    shape = d.data("X", _spatial(d, (2,))).shape
    boxes, count = np.sort(d.rng.uniform(0, 8, (2, d.whole(0, 3), 2)), axis=0), None
    boxes = np.concatenate(list(boxes), axis=-1)
    d.set("rois", boxes.astype(d.of("rois")))
    count = len(boxes)
    d.set("batch_indices", d.rng.integers(0, shape[0], count).astype(np.int64))
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
