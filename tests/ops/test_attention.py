"""Attention, its caches and rotary embeddings of com.microsoft against ONNX Runtime."""
# SPDX-License-Identifier: Apache-2.0
import functools

import numpy as np
import pytest
import wisp
from support import check_close, onnxruntime_outputs
from support_microsoft import check as check_node, f32, model_of, rng
from wisp_converter import UnsupportedError, convert

B, S, H, D = 2, 5, 4, 8  # batch, sequence, heads, size of a head
G = 16  # size of a head of GroupQueryAttention: ONNX Runtime takes multiples of 16
FIXED = ["q2", "k2", "v2", "pk1", "pk3", "pv1", "pv3", "past_k1", "past_k3", "past_v1", "past_v3", "b0"]
"""Axes that are weights' business: all others may be open."""
check = functools.partial(check_node, fixed=FIXED)
SYMBOLIC = pytest.mark.parametrize("symbolic", [False, True])


def ints(*shape, high=2):
    return rng.integers(0, high, shape).astype(np.int32)


def attention(**more):
    return {"x": f32(B, S, 24), "w": f32(24, 3 * H * D), "b": f32(3 * H * D), "mask": None, "past": None, "add": None,
            **more}


MASKS = {
    "none": None, "lengths": np.int32([3, 5]), "ends and starts": np.int32([4, 5, 1, 0]),
    "keys": np.int32([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1]]), "rows": np.tril(np.ones((B, S, S), np.int32)),
    "nothing counts": np.int32([[0] * S, [1] * S])}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("unidirectional", [0, 1])
def test_attention_masks(mask, unidirectional):
    check("Attention", attention(mask=MASKS[mask]), constants=["w", "b"], num_heads=H, unidirectional=unidirectional)


@pytest.mark.parametrize("mask", ["none", "keys", "rows"])
def test_attention_open_axes(mask):
    model, inputs = model_of("Attention", attention(mask=MASKS[mask]), ["y", "present"], symbolic=True, num_heads=H,
                             constants=["w", "b"], unidirectional=1)
    loaded = wisp.load(convert(model, verify=False))
    for batch, length in ((B, S), (1, 3), (3, 7)):
        inputs["x"] = f32(batch, length, 24)
        if mask != "none":
            inputs["mask"] = ints(batch, *([length] * (MASKS[mask].ndim - 1)))
        want, got = onnxruntime_outputs(model, inputs), loaded.run(inputs)
        for name, expected in want.items():
            check_close(got[name], expected, name, rtol=1e-4, atol=1e-5)


@SYMBOLIC
def test_attention_past_bias_and_sizes(symbolic):
    past, mask = f32(2, B, H, 3, D), np.int32([[1] * 8, [1, 0, 1, 1, 1, 1, 0, 1]])
    for more in ({"past": past}, {"past": past, "mask": mask}):
        for unidirectional in (0, 1):
            check("Attention", attention(**more), ["y", "present"], constants=["w", "b"], num_heads=H,
                  unidirectional=unidirectional, symbolic=symbolic)
    check("Attention", attention(add=f32(1, 1, S, S)), constants=["w", "b"], num_heads=H, scale=0.2, symbolic=symbolic)
    check("Attention", {"x": f32(B, S, 24), "w": f32(24, 80), "b": f32(80)}, constants=["w", "b"], num_heads=H,
          qkv_hidden_sizes=[32, 32, 16], mask_filter_value=-100.0, symbolic=symbolic)


def multi_head(**more):
    keys = more.pop("keys", S)
    return {"q": f32(B, S, H * D), "k": f32(B, keys, H * D), "v": f32(B, keys, H * D), "b": None, "mask": None,
            "add": None, "past_k": None, "past_v": None, **more}


@SYMBOLIC
def test_multi_head_attention(symbolic):
    past = {"past_k": f32(B, H, 3, D), "past_v": f32(B, H, 3, D)}
    bias = {"b": f32(3 * H * D)}
    for more in ({}, bias, {"keys": 7, **bias}, {"v": f32(B, S, H * 6)}, {"mask": MASKS["keys"]},
                 {"add": f32(B, H, S, S)}, {"add": f32(1, H, S, S), "mask": MASKS["rows"]}):
        check("MultiHeadAttention", multi_head(**more), num_heads=H, symbolic=symbolic)
    for more in (past, {**past, **bias}, {**past, "mask": np.int32([[1] * 8, [1, 0, 1, 1, 1, 1, 0, 1]])}):
        for unidirectional in (0, 1):
            check("MultiHeadAttention", multi_head(**more), ["y", "pk", "pv"], num_heads=H, symbolic=symbolic,
                  unidirectional=unidirectional)
    check("MultiHeadAttention", multi_head(), ["y", "pk", "pv"], num_heads=H, scale=0.3, symbolic=symbolic)


def test_multi_head_attention_lengths_and_heads_apart():
    check("MultiHeadAttention", multi_head(mask=MASKS["lengths"]), num_heads=H)
    apart = {"k": f32(B, H, 7, D), "v": f32(B, H, 7, D)}
    check("MultiHeadAttention", multi_head(**apart), num_heads=H)


def test_multi_head_attention_packed():
    """ONNX Runtime takes packed values on other processors only: it gets them apart."""
    q, k, v = (f32(B, S, H, D) for _ in range(3))
    flat = {"q": q.reshape(B, S, -1), "k": k.reshape(B, S, -1), "v": v.reshape(B, S, -1)}
    model, inputs = model_of("MultiHeadAttention", flat, ["y"], num_heads=H)
    want = onnxruntime_outputs(model, inputs)["y"]
    for packed in ({"q": np.stack([q, k, v], 3)}, {"q": flat["q"], "k": np.stack([k, v], 3)}):
        model, inputs = model_of("MultiHeadAttention", packed, ["y"], num_heads=H)
        check_close(wisp.load(convert(model, verify=False)).run(inputs)["y"], want, "y", rtol=1e-4, atol=1e-5)


@SYMBOLIC
@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embedding(symbolic, interleaved):
    tables = {"cos": f32(12, D // 2), "sin": f32(12, D // 2)}
    options = {"interleaved": interleaved, "symbolic": symbolic, "fixed": ["x2", "x3"], "constants": ["cos", "sin"]}
    for position in (np.int64([[0, 1, 2, 3, 4], [7, 6, 5, 3, 11]]), np.int64([4])):
        check("RotaryEmbedding", {"x": f32(B, S, H * D), "p": position, **tables}, **options)
        check("RotaryEmbedding", {"x": f32(B, H, S, D), "p": position, **tables}, **options)
        narrow = {"cos": f32(12, 2), "sin": f32(12, 2)}
        check("RotaryEmbedding", {"x": f32(B, S, H * D), "p": position, **narrow}, num_heads=H, rotary_embedding_dim=4,
              **options)


def grouped(new, past, *, kv=2, capacity=None, packed=False, batch=B, **more):
    """New tokens behind past ones, in a cache with room for more where its capacity is stated."""
    capacity = past if capacity is None else capacity
    caches = [f32(batch, kv, capacity, G) for _ in range(2)]
    for cache in caches:
        cache[:, :, past:] = 0
    given = ([f32(batch, new, (H + 2 * kv) * G), None, None] if packed
             else [f32(batch, new, n * G) for n in (H, kv, kv)])
    return {**dict(zip("qkv", given)), "pk": caches[0], "pv": caches[1],
            "lengths": np.full(batch, past + new - 1, np.int32), "total": np.array(past + new, np.int32),
            "cos": f32(32, G // 2), "sin": f32(32, G // 2), **more}


@SYMBOLIC
@pytest.mark.parametrize(("new", "past", "capacity"), [(5, 0, 0), (1, 6, 6), (1, 6, 12), (5, 0, 12)])
@pytest.mark.parametrize("options", [
    {}, {"do_rotary": 1}, {"do_rotary": 1, "rotary_interleaved": 1}, {"local_window_size": 3}, {"softcap": 2.0},
    {"smooth_softmax": 1, "scale": 0.4}, {"packed": True, "do_rotary": 1}, {"kv": 4}, {"kv": 1}])
def test_group_query_attention(symbolic, new, past, capacity, options):
    options = dict(options)
    kv, packed = options.pop("kv", 2), options.pop("packed", False)
    operands = grouped(new, past, capacity=capacity, kv=kv, packed=packed)
    check("GroupQueryAttention", operands, ["y", "present_k", "present_v"], constants=["cos", "sin"], num_heads=H,
          kv_num_heads=kv, symbolic=symbolic, **options)


def test_group_query_attention_extras():
    options = {"constants": ["cos", "sin"], "num_heads": H, "kv_num_heads": 2, "do_rotary": 1}
    for operands in (grouped(3, 4, batch=1), grouped(1, 4, places=np.int64([[6], [9]])),
                     grouped(3, 4, batch=1, places=np.int64([[6, 9, 2]])),
                     grouped(1, 4, places=None, add=f32(B, 1, 1, 5)), grouped(3, 0, places=None, add=f32(1, H, 3, 3)),
                     grouped(3, 0, places=None, add=None, sink=f32(H))):
        check("GroupQueryAttention", operands, ["y", "present_k", "present_v"], **options)
    different = grouped(1, 6, batch=2)  # the second row has fewer tokens in its cache
    different["lengths"] = np.int32([6, 3])
    for cache in (different["pk"], different["pv"]):
        cache[1, :, 3:] = 0
    check("GroupQueryAttention", different, ["y", "present_k", "present_v"], **options)


def test_a_decoder_that_keeps_its_cache():
    """Tokens one by one, the cache fed back, give what all at once give."""
    whole = grouped(6, 0, batch=1)
    options = {"constants": ["cos", "sin"], "num_heads": H, "kv_num_heads": 2, "do_rotary": 1,
               "symbolic": True, "fixed": FIXED}
    model, inputs = model_of("GroupQueryAttention", whole, ["y", "present_k", "present_v"], **options)
    want = onnxruntime_outputs(model, inputs)["y"]
    loaded = wisp.load(convert(model, verify=False))
    keys = values = np.zeros((1, 2, 0, G), np.float32)
    for t in range(6):
        step = {**inputs, **{n: inputs[n][:, t:t + 1] for n in "qkv"}, "pk": keys, "pv": values,
                "lengths": np.int32([t]), "total": np.array(t + 1, np.int32)}
        got = loaded.run(step)
        keys, values = -got["present_k"], -got["present_v"]  # the model ends with Neg
        check_close(got["y"], want[:, t:t + 1], f"token {t}", rtol=1e-4, atol=1e-5)


def test_what_is_refused_is_named():
    model, _ = model_of("Attention", attention(), ["y"], constants=["w", "b"], num_heads=H, do_rotary=1)
    with pytest.raises(UnsupportedError, match="do_rotary is not supported"):
        convert(model, verify=False)
    model, _ = model_of("GroupQueryAttention", grouped(3, 4), ["y", "", "", "qk"], constants=["cos", "sin"],
                        num_heads=H, kv_num_heads=2, qk_output=1)
    with pytest.raises(UnsupportedError, match="qk_output is not supported"):
        convert(model, verify=False)
    model, _ = model_of("MultiHeadAttention", {"q": f32(B, S, H * D)}, ["y"], num_heads=H)
    with pytest.raises(UnsupportedError, match="they must be packed"):
        convert(model, verify=False)
