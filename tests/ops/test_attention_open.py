"""ONNX's own attention, rotary embedding and stateful operators: one file for every batch and sequence length."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from onnx import TensorProto, helper
from support import check_close, onnxruntime_outputs, reference
from wisp_converter import convert

rng = np.random.default_rng(23)
H, D, PAST = 4, 8, 3  # heads, size of a head, length of the past


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def flat(b, s, kv=H):
    return {"q": f32(b, s, H * D), "k": f32(b, s, kv * D), "v": f32(b, s, kv * D)}


def heads(b, s, kv=H):
    return {"q": f32(b, H, s, D), "k": f32(b, kv, s + 2, D), "v": f32(b, kv, s + 2, D)}


def past(b):
    return {"m": None, "pk": f32(b, H, PAST, D), "pv": f32(b, H, PAST, D)}


COUNTS = {"q_num_heads": H, "kv_num_heads": H}
FEW = {"q_num_heads": H, "kv_num_heads": 2}
Y, ALL = ["y"], ["y", "present_k", "present_v"]
ATTENTION = {
    "flat": (flat, Y, COUNTS), "causal": (flat, Y, {**COUNTS, "is_causal": 1}), "heads": (heads, Y, {}),
    "softcap": (heads, Y, {"softcap": 2.0, "scale": 0.3}),
    "mask": (lambda b, s: {**heads(b, s), "m": f32(s, s + 2)}, Y, {}),
    "bool mask": (lambda b, s: {**heads(b, s), "m": rng.random((b, 1, s, s + 2)) > 0.3}, Y, {}),
    "past": (lambda b, s: {**heads(b, s), **past(b)}, ALL, {}),
    "flat past": (lambda b, s: {**flat(b, s), **past(b), "m": f32(s, s + PAST)}, ALL,
                  {**COUNTS, "is_causal": 1}),
    "few": (lambda b, s: heads(b, s, 2), Y, {}), "flat few": (lambda b, s: flat(b, s, 2), Y, FEW),
    "scores": (heads, ["y", "", "", "scores"], {}),
    "weights": (heads, ["y", "", "", "w"], {"qk_matmul_output_mode": 3}),
}


def check(op, make, outputs, attributes, opset, oracle, fixed):
    """Converted once; run at three batches and lengths. make: operands of a batch and length; fixed: the extents that
    are no axis of those."""
    def model_of(operands, open_axes):
        def dims(name, array):
            return [d if d in fixed or not open_axes else f"{name}{i}" for i, d in enumerate(array.shape)]
        node = helper.make_node(op, [n if a is not None else "" for n, a in operands.items()],
                                [f"{o}_" if o else "" for o in outputs], "node", **attributes)
        follow = [helper.make_node("Neg", [f"{o}_"], [o]) for o in outputs if o]
        graph = helper.make_graph([node, *follow], "g", [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), dims(n, a))
            for n, a in operands.items() if a is not None],
            [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs if o])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=11)

    loaded = wisp.load(convert(model_of(make(5, 11), True), verify=False))
    for batch, length in ((2, 5), (3, 7), (1, 1)):
        operands = make(batch, length)
        inputs = {n: a for n, a in operands.items() if a is not None}
        want, got = oracle(model_of(operands, False), inputs), loaded.run(inputs)
        assert want is not None, "ONNX Runtime refuses the model"
        for name, expected in want.items():
            check_close(got[name], expected, f"{name} at {batch}, {length}", rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [23, 24])
@pytest.mark.parametrize("case", ATTENTION)
def test_attention(case, opset):
    check("Attention", *ATTENTION[case], opset, onnxruntime_outputs, (H, D, H * D, 2 * D))


def test_attention_of_padded_keys():
    check("Attention", lambda b, s: {**heads(b, s), "m": None, "pk": None, "pv": None,
                                     "n": rng.integers(1, s + 3, b)}, Y, {}, 24, onnxruntime_outputs, (H, D))


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embedding(interleaved):
    def make(b, s):
        tables = {"cos": f32(12, D // 2), "sin": f32(12, D // 2)}
        return {"x": f32(b, s, H * D), **tables, "p": rng.integers(0, 12, (b, s))}
    check("RotaryEmbedding", make, Y, {"num_heads": H, "interleaved": interleaved}, 23, onnxruntime_outputs,
          (H * D, 12, D // 2))
    check("RotaryEmbedding", lambda b, s: {"x": f32(b, H, s, D), "cos": f32(b, s, D // 2), "sin": f32(b, s, D // 2)}, Y,
          {"interleaved": interleaved}, 23, onnxruntime_outputs, (H, D, D // 2))


@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("start", [False, True])
def test_tensor_scatter(mode, start):
    for axis, cache in ((-2, lambda b: (b, H, 9, D)), (1, lambda b: (b, 9, H, D)), (1, lambda b: (b, 9, D))):
        def make(b, s, axis=axis, cache=cache):
            update = [s if d == 9 else d for d in cache(b)]
            places = rng.integers(0, 9 if mode == "circular" else 3, b)
            return {"c": f32(*cache(b)), "u": f32(*update), "w": places if start else None}
        check("TensorScatter", make, Y, {"axis": axis, "mode": mode}, 24, reference, (H, 9, D))


@pytest.mark.parametrize("rule", ["linear", "gated", "delta", "gated_delta"])
def test_linear_attention(rule):
    def make(b, s):
        keys = f32(b, s, 2 * D) / np.float32(np.sqrt(D))
        return {"q": f32(b, s, H * D), "k": keys, "v": f32(b, s, 2 * D), "past": f32(b, 2, D, D),
                "decay": -np.abs(f32(b, s, 2)) if "gated" in rule else None,
                "beta": rng.random((b, s, 2)).astype(np.float32) if "delta" in rule else None}
    check("LinearAttention", make, ["y", "state"], {**FEW, "update_rule": rule}, 27, reference, (H * D, 2 * D, 2, D))


@pytest.mark.parametrize("activation", ["none", "silu"])
def test_causal_conv_with_state(activation):
    def make(b, s):
        return {"x": f32(b, 6, s), "w": f32(6, 1, 4), "b": f32(6), "past": f32(b, 6, 3)}
    check("CausalConvWithState", make, ["y", "state"], {"activation": activation}, 27, reference, (6, 4))
