"""What schemas cannot tell of layers: shapes of weights, windows and states."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
from draw import Draw, hint


def _windows(d: Draw, sides: tuple[int, ...], kernel: list[int] | None = None) -> list[int]:
    """kernel_shape, strides, dilations and pads of windows over these sides."""
    kernel = kernel or [d.whole(1, max(min(3, s), 1)) for s in sides]
    d.attrs["kernel_shape"] = kernel
    d.attrs["strides"] = [d.whole(1, 3) for _ in sides] if d.chance(0.5) else None
    d.attrs["dilations"] = [d.whole(1, 2) for _ in sides] if d.chance(0.4) else None
    d.attrs["pads"], d.attrs["auto_pad"] = None, None
    if d.chance(0.3):
        d.attrs["auto_pad"] = d.pick("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")
        if d.attrs["auto_pad"].startswith("SAME"):  # ONNX Runtime refuses dilations then, the reference forgets them
            d.attrs["dilations"] = None
        if d.attrs["strides"]:  # where windows leave gaps, ONNX Runtime has negative pads
            d.attrs["strides"] = [min(k, s) for k, s in zip(kernel, d.attrs["strides"])]
    elif d.chance(0.6):
        d.attrs["pads"] = [d.whole(0, max(k - 1, 0)) for k in kernel + kernel]
    return kernel


def spatial(d: Draw, ranks=(1, 2, 2, 3), channels: int | None = None) -> tuple[int, ...]:
    sides = d.pick(*ranks)
    return (d.whole(1, 2), channels or d.whole(1, 6), *(d.whole(3, 9) for _ in range(sides)))


def _picture(d: Draw, name: str, **more) -> tuple[int, ...]:
    """State an operand of batch, channels and sides: one that was made, if it is like that."""
    d.data(name, rank=d.pick(3, 4, 4, 5)) if d.pool else None
    if d.pool and len(d.shape) > 2 and min(d.shape) > 0 and not more:
        return d.shape
    return d.data(name, spatial(d, **more)).shape


@hint("Conv", "FusedConv", "ConvInteger")
def conv(d: Draw) -> None:
    group = d.pick(1, 1, 1, 2, 3)
    shape = spatial(d, channels=group * d.whole(1, 4))
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
    shape = d.data("X", spatial(d, channels=group * d.whole(1, 3))).shape
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
    shape = d.data("X", spatial(d, (2,), 2 * d.whole(1, 2))).shape
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
    shape = d.data("X", spatial(d, (1, 2, 3))).shape
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
    known = ["Relu", "Tanh", "Sigmoid", "Softsign", "Elu", "LeakyRelu", "HardSigmoid", "Affine",
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
    least = 1 if d.of(names[1]).kind in "iu" else 0.05
    d.set(names[1], (np.abs(d.numbers(np.float32, shape)) + least).astype(d.of(names[1])))
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
