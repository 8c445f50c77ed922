"""Operators of com.microsoft against ONNX Runtime."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from onnx import TensorProto
from support_microsoft import check, f32, model_of, rng
from wisp_converter import UnsupportedError, convert

@pytest.mark.parametrize("symbolic", [False, True])
def test_gelu(symbolic):
    x, bias = f32(2, 3, 8) * 3, f32(8)
    check("Gelu", {"x": x}, symbolic=symbolic)
    check("FastGelu", {"x": x}, symbolic=symbolic)
    check("FastGelu", {"x": x, "b": bias}, constants=["b"])
    check("BiasGelu", {"x": x, "b": bias}, symbolic=symbolic)
    check("QuickGelu", {"x": x})
    check("QuickGelu", {"x": x}, alpha=0.7)


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("turn", [{}, {"transA": 1}, {"transB": 1}, {"transA": 1, "transB": 1, "alpha": 0.25}])
def test_fused_matmul(turn, symbolic):
    for batch in ((), (2,), (2, 3)):
        a, b = f32(*batch, *((5, 4) if turn.get("transA") else (4, 5))), f32(
            *batch, *((3, 5) if turn.get("transB") else (5, 3)))
        check("FusedMatMul", {"a": a, "b": b}, symbolic=symbolic, **turn)
        check("FusedMatMul", {"a": a, "b": b}, constants=["b"], **turn)


def test_fused_matmul_of_transposed_batches():
    check("FusedMatMul", {"a": f32(4, 2, 5), "b": f32(2, 5, 3)}, transBatchA=1)
    check("FusedMatMul", {"a": f32(2, 4, 5), "b": f32(5, 2, 3)}, transBatchB=1)
    check("FusedMatMul", {"a": f32(4, 2, 5), "b": f32(3, 2, 5)}, transBatchA=1, transBatchB=1, transB=1)


@pytest.mark.parametrize("activation", ["Relu", "Tanh", "Sigmoid", "LeakyRelu"])
def test_fused_gemm(activation):
    numbers = {"activation_alpha": 0.1} if activation == "LeakyRelu" else {}
    operands = {"a": f32(4, 5), "b": f32(3, 5), "c": f32(3)}
    check("FusedGemm", operands, constants=["b", "c"], activation=activation, transB=1, alpha=0.5, beta=2.0, **numbers)


@pytest.mark.parametrize(("activation", "params"), [
    ("Relu", []), ("Tanh", []), ("Sigmoid", []), ("LeakyRelu", [0.2]), ("Clip", [-0.5, 0.5]),
    ("HardSigmoid", [0.3, 0.4])])
def test_fused_conv(activation, params):
    operands = {"x": f32(1, 3, 7, 7), "w": f32(4, 3, 3, 3), "b": f32(4)}
    options = {"activation": activation, **({"activation_params": params} if params else {})}
    check("FusedConv", operands, constants=["w", "b"], pads=[1, 1, 1, 1], strides=[2, 2], **options)


def test_fused_conv_and_sum():
    operands = {"x": f32(1, 3, 7, 7), "w": f32(4, 3, 3, 3), "b": f32(4), "z": f32(1, 4, 5, 5)}
    check("FusedConv", operands, constants=["w", "b"], activation="Relu")


@pytest.mark.parametrize("symbolic", [False, True])
def test_skip_layer_normalization(symbolic):
    x, skip, scale, beta, bias = f32(2, 3, 8), f32(2, 3, 8), f32(8), f32(8), f32(8)
    operands = {"x": x, "skip": skip, "scale": scale}
    for more in ({}, {"beta": beta}, {"beta": beta, "bias": bias}, {"beta": None, "bias": bias}):
        check("SkipLayerNormalization", {**operands, **more}, epsilon=1e-5, symbolic=symbolic)
    check("SkipLayerNormalization", {**operands, "beta": beta, "bias": bias}, ["y", "", "", "sum"], symbolic=symbolic)
    check("SkipLayerNormalization", {**operands, "beta": beta}, ["y", "", "", "sum"])
    check("SkipSimplifiedLayerNormalization", operands, symbolic=symbolic)
    check("SkipSimplifiedLayerNormalization", {**operands, "bias": bias}, ["y", "", "", "sum"])


def test_norms_of_onnx_runtime_in_the_domain_of_onnx():
    operands = {"x": f32(2, 3, 8), "scale": f32(8), "bias": f32(8)}
    check("LayerNormalization", operands, domain="", epsilon=1e-3, opset=14)
    del operands["bias"]
    check("SimplifiedLayerNormalization", operands, domain="", opset=14)


def test_what_is_left_of_com_microsoft_is_named():
    model, _ = model_of("NhwcMaxPool", {"x": f32(1, 4, 4, 3)}, ["y"])
    with pytest.raises(UnsupportedError, match=r"com.microsoft.NhwcMaxPool \(no such operator; node 'node'\)"):
        convert(model, verify=False)


@pytest.mark.parametrize("symbolic", [False, True])
def test_embed_layer_normalization(symbolic):
    ids, segments = rng.integers(0, 11, (2, 5)).astype(np.int32), rng.integers(0, 2, (2, 5)).astype(np.int32)
    mask = np.int32([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    tables = {"words": f32(11, 8), "positions": f32(7, 8), "kinds": f32(2, 8)}
    norm = {"scale": f32(8), "bias": f32(8)}
    options = {"constants": [*tables, *norm], "epsilon": 1e-5, "symbolic": symbolic, "types": {"m": TensorProto.INT32}}
    check("EmbedLayerNormalization", {"ids": ids, "segments": segments, **tables, **norm, "mask": mask},
          ["y", "m", "sum"], **options)
    check("EmbedLayerNormalization", {"ids": ids, "segments": segments, **tables, **norm}, ["y", "m"], **options)
    options["constants"].remove("kinds")
    check("EmbedLayerNormalization", {"ids": ids, "segments": None, **tables, "kinds": None, **norm, "mask": None,
                                      "position_ids": np.int32([[3, 1, 0, 6, 2]] * 2)}, ["y", "", "sum"], **options)


def test_trilu():
    for operands in ({"x": f32(2, 4, 5)}, {"x": f32(4, 4), "k": np.array(-1)}):
        check("Trilu", operands, upper=0)
        check("Trilu", operands, symbolic=True)
