"""MatMulNBits and GatherBlockQuantized of com.microsoft against ONNX Runtime."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import onnx
import pytest
import wisp
from onnx import TensorProto, helper
from support import check_close, onnxruntime_outputs
from support_microsoft import MS, check, f32, model_of, rng
from wisp_converter import UnsupportedError, convert


def random_bytes(*shape):
    return rng.integers(0, 256, shape).astype(np.uint8)


def matmul(bits, k, n, block, *, points=None, g_idx=False, bias=False, rows=(3,)):
    blocks = -(-k // block)
    operands = {"x": f32(*rows, k), "w": random_bytes(n, blocks, block * bits // 8), "s": f32(n, blocks),
                "z": {None: None, "packed": random_bytes(n, -(-blocks * bits // 8)),
                      "float": f32(n, blocks) + 2 ** (bits - 1)}[points],
                "g": np.sort(rng.integers(0, blocks, k)).astype(np.int32) if g_idx else None,
                "b": f32(n) if bias else None}
    constants = [c for c in "wszgb" if operands[c] is not None]
    return operands, {"constants": constants, "K": k, "N": n, "bits": bits, "block_size": block}


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("points", [None, "packed"])
@pytest.mark.parametrize(("k", "n", "block"), [(64, 8, 32), (96, 5, 32), (80, 7, 32), (128, 16, 64)])
def test_matmul(bits, points, k, n, block):
    operands, options = matmul(bits, k, n, block, points=points)
    check("MatMulNBits", operands, **options)


def test_matmul_bias_batches_and_open_axes():
    operands, options = matmul(4, 64, 8, 32, points="packed", bias=True, rows=(2, 3))
    check("MatMulNBits", operands, **options)
    check("MatMulNBits", operands, symbolic=True, **options)


def test_matmul_float_zero_points():
    operands, options = matmul(4, 64, 8, 32, points="float")
    check("MatMulNBits", operands, **options)


@pytest.mark.parametrize("bits", [4, 8])
def test_matmul_by_permuted_groups(bits):
    """Against numpy: beside g_idx ONNX Runtime ignores zero points."""
    operands, options = matmul(bits, 64, 8, 32, points="packed", g_idx=True)
    for g in (np.arange(64) // 32, rng.permutation(np.arange(64) % 2)):
        operands["g"] = g.astype(np.int32)
        w, z = (np.stack([a & 15, a >> 4], -1).reshape(8, -1) if bits == 4 else a.reshape(8, -1)
                for a in (operands["w"], operands["z"]))
        matrix = (w - z.astype(np.float64)[:, g]) * operands["s"][:, g]
        model, inputs = model_of("MatMulNBits", operands, ["y"], **options)
        got = wisp.load(convert(model, verify=False)).run(inputs)["y"]
        check_close(got, -(operands["x"] @ matrix.T).astype(np.float32), "y", rtol=1e-5, atol=1e-5)


def test_matmul_refused():
    operands, options = matmul(4, 64, 8, 32)
    with pytest.raises(UnsupportedError, match="weights of 3 bits; node 'node'"):
        convert(model_of("MatMulNBits", operands, ["y"], **{**options, "bits": 3})[0], verify=False)
    options["constants"].remove("w")
    with pytest.raises(UnsupportedError, match="the weights must be a constant; node 'node'"):
        convert(model_of("MatMulNBits", operands, ["y"], **options)[0], verify=False)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zero_points", [False, True])
def test_gather_of_bytes(bits, zero_points):
    operands = {"t": random_bytes(10, 64 * bits // 8), "i": rng.integers(-10, 10, (2, 3)), "s": f32(10, 2),
                "z": random_bytes(10, 2 * bits // 8) if zero_points else None}
    for symbolic in (False, True):
        check("GatherBlockQuantized", operands, constants=["t", "s", *(["z"] if zero_points else [])], bits=bits,
              block_size=32, quantize_axis=1, symbolic=symbolic)


@pytest.mark.parametrize("dtype", ["INT4", "UINT4"])
@pytest.mark.parametrize(("gather", "quantize"), [(0, 1), (1, 0), (0, -1), (0, 0)])
def test_gather_of_four_bits(dtype, gather, quantize):
    shape, low = (40, 40), -8 if dtype == "INT4" else 0
    blocks = tuple(3 if a == quantize % 2 else d for a, d in enumerate(shape))

    def four_bits(name, shape):
        return helper.make_tensor(name, getattr(TensorProto, dtype), shape,
                                  rng.integers(low, low + 16, shape).reshape(-1).tolist())
    scales = f32(*blocks)
    indices = rng.integers(0, 40, 7)
    for points in ([], [four_bits("z", blocks)]):
        node = helper.make_node("GatherBlockQuantized", ["t", "i", "s", *(["z"] if points else [])], ["y"], domain=MS,
                                gather_axis=gather, quantize_axis=quantize, block_size=16)
        graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("i", TensorProto.INT64, [7])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                                  [four_bits("t", shape), onnx.numpy_helper.from_array(scales, "s"), *points])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(MS, 1)],
                                  ir_version=10)
        want = onnxruntime_outputs(model, {"i": indices})
        assert want is not None, "ONNX Runtime refuses the model"
        got = wisp.load(convert(model, verify=False)).run({"i": indices})
        check_close(got["y"], want["y"], "y", rtol=1e-6, atol=0)
