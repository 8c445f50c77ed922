"""Operators of com.microsoft against ONNX Runtime."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import onnx
import pytest
import wisp
from onnx import helper, numpy_helper
from support import check_close, onnxruntime_outputs
from wisp_converter import UnsupportedError, convert

rng = np.random.default_rng(99)
MS = "com.microsoft"


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def model_of(op, operands, outputs, *, constants=(), symbolic=False, domain=MS, opset=14, **attributes):
    """One node, then Neg of each output, so that what follows needs its types. operands: {name: array or None}."""
    names = [n if a is not None else "" for n, a in operands.items()]
    given = {n: a for n, a in operands.items() if a is not None}
    node = helper.make_node(op, names, [f"{o}_" if o else "" for o in outputs], "node", domain=domain, **attributes)
    follow = [helper.make_node("Neg", [f"{o}_"], [o]) for o in outputs if o]
    graph = helper.make_graph(
        [node, *follow], "g",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype),
                                       [f"{n}{i}" for i in range(a.ndim)] if symbolic else a.shape)
         for n, a in given.items() if n not in constants],
        [helper.make_tensor_value_info(o, onnx.TensorProto.FLOAT, None) for o in outputs if o],
        [numpy_helper.from_array(given[n], n) for n in constants])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8), {n: a for n, a in given.items()
                                                                          if n not in constants}


def check(op, operands, outputs=("y",), **options):
    model, inputs = model_of(op, operands, outputs, **options)
    want = onnxruntime_outputs(model, inputs)
    assert want is not None, "ONNX Runtime refuses the model"
    got = wisp.load(convert(model, verify=False)).run(inputs)
    for name, expected in want.items():
        check_close(got[name], expected, name, rtol=1e-4, atol=1e-5)


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
