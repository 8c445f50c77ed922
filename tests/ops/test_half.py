"""float16 and bfloat16 networks: every result is the float32 one, rounded once; or, if asked for, not at all."""
# SPDX-License-Identifier: Apache-2.0
import ml_dtypes
import numpy as np
import pytest
from onnx import helper

import wisp
from support import make_model, optimized
from wisp.file import read
from wisp_converter import convert

rng = np.random.default_rng(16)

F16, BF16, F32 = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32)
both = pytest.mark.parametrize("half", [F16, BF16], ids=str)


def random(half, *shape) -> np.ndarray:
    return rng.standard_normal(shape).astype(half)


def run(model, inputs, **options) -> dict[str, np.ndarray]:
    loaded = wisp.load(convert(model, **{"verify": False, **options}))
    types = {o.name: o.element_type for o in loaded.outputs}
    return {n: a.view(getattr(ml_dtypes, types[n])) if types[n] else a for n, a in loaded.run(inputs).items()}


@both
@pytest.mark.parametrize("op,function", [
    ("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Div", np.divide), ("Max", np.maximum),
    ("Min", np.minimum), ("Mod", np.fmod), ("Less", np.less), ("Equal", np.equal)])
def test_exact_operators(half, op, function):
    """The float32 result, rounded, is the exact one rounded."""
    a, b = random(half, 40, 50), random(half, 50)
    attrs = {"fmod": 1} if op == "Mod" else {}
    model = make_model([(op, ["a", "b"], ["y"], attrs)], {"a": a, "b": b}, ["y"], opset=22)
    want = function(a.astype(np.float64), b.astype(np.float64))
    want = want if want.dtype == bool else want.astype(half)
    got = run(model, {"a": a, "b": b})["y"]
    assert got.dtype == want.dtype and got.tobytes() == want.tobytes()


@both
def test_every_result_is_rounded(half):
    """Also between operators that would fuse; the difference to rounding once is seen."""
    a, b, c = random(half, 300), random(half, 300), random(half, 300)
    nodes = [("Mul", ["a", "b"], ["m"], {}), ("Add", ["m", "c"], ["s"], {}), ("Relu", ["s"], ["r"], {}),
             ("Sqrt", ["r"], ["y"], {})]
    model = make_model(nodes, {"a": a, "b": b, "c": c}, ["y"], opset=22)
    wide = [v.astype(np.float32) for v in (a, b, c)]
    rounded = lambda v: v.astype(half).astype(np.float32)  # noqa: E731
    want = rounded(np.sqrt(np.maximum(rounded(rounded(wide[0] * wide[1]) + wide[2]), 0)))
    once = rounded(np.sqrt(np.maximum(wide[0] * wide[1] + wide[2], 0)))
    inputs = {"a": a, "b": b, "c": c}
    assert np.array_equal(run(model, inputs)["y"].astype(np.float32), want)
    assert np.array_equal(run(model, inputs, keep_rounding=False)["y"].astype(np.float32), once)
    assert (want != once).any()


FAMILIES = {  # nodes, inputs, constants: floats become the type, open axes come first
    "LSTM": ([("LSTM", ["x", "w", "r"], ["y"], {"hidden_size": 4})], {"x": (5, 2, 3)},
             {"w": (1, 16, 3), "r": (1, 16, 4)}),
    "BatchNormalization": ([("BatchNormalization", ["x", "s", "b", "m", "s"], ["y"], {})], {"x": (2, 3, 4, 4)},
                           {"s": np.array([1.5, 2, 0.3]), "b": (3,), "m": (3,)}),
    "MaxPool": ([("MaxPool", ["x"], ["y"], {"kernel_shape": [2, 2]})], {"x": (1, 3, 8, 8)}, {}),
    "ConvTranspose": ([("ConvTranspose", ["x", "w"], ["y"], {"strides": [2, 2]})], {"x": (1, 3, 5, 5)},
                      {"w": (3, 4, 3, 3)}),
    "LayerNormalization": ([("LayerNormalization", ["x", "s"], ["y"], {})], {"x": (4, 6)}, {"s": (6,)}),
    "TopK": ([("TopK", ["x", "k"], ["y", "i"], {})], {"x": (3, 9)}, {"k": np.int64([4])}),
    "Pad": ([("Pad", ["x", "p", "v"], ["y"], {})], {"x": (3, 9)}, {"p": np.int64([0, 1, 2, 0]), "v": np.array(2.5)}),
    "ScatterElements": ([("ScatterElements", ["x", "i", "u"], ["y"], {"reduction": "add"})], {"x": (3, 4)},
                        {"i": np.int64([[0, 1, 2, 0]]), "u": (1, 4)}),
    "OneHot": ([("OneHot", ["i", "d", "v"], ["y"], {})], {"i": np.int64([1, 0, 2])}, {"d": np.int64([4]), "v": (2,)}),
    "Pow": ([("Pow", ["x", "a"], ["y"], {})], {"x": (3, 9)}, {"a": np.array(3)}),
    "Einsum": ([("Einsum", ["x", "b"], ["y"], {"equation": "ij,jk->ik"})], {"x": (3, 4)}, {"b": (4, 5)}),
    "Gemm": ([("Gemm", ["x", "b", "c"], ["y"], {"alpha": 0.5, "beta": 2.0})], {"x": (3, 4), "b": (4, 5)},
             {"c": (3, 1)}),
    "two outputs of one value": ([("Relu", ["x"], ["y"], {}), ("Relu", ["x"], ["z"], {})], {"x": (3, 4)}, {}),
    "inputs and constants as outputs": ([("Identity", ["x"], ["y"], {}), ("Identity", ["c"], ["z"], {}),
                                         ("Relu", ["x"], ["r"], {})], {"x": (3, 4)}, {"c": (3,)}),
}


@both
@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_operator_of_each_family(half, family, symbolic):
    """The same node on the same numbers in float32, whose results the other tests prove, rounded once."""
    nodes, *groups = FAMILIES[family]
    narrow, wide = [], []
    for group in groups:
        arrays = {n: v if isinstance(v, np.ndarray) else rng.standard_normal(v) for n, v in group.items()}
        narrow.append({n: a.astype(half) if a.dtype.kind == "f" else a for n, a in arrays.items()})
        wide.append({n: a.astype(F32) if a.dtype == half else a for n, a in narrow[-1].items()})
    outputs, results = [name for node in nodes for name in node[2]], []
    for inputs, constants in (narrow, wide):
        spec = {n: (a.dtype, [f"{n}_0", *a.shape[1:]] if symbolic and a.ndim else a.shape) for n, a in inputs.items()}
        results.append(run(make_model(nodes, spec, outputs, constants, opset=22), inputs))
    for name, want in results[1].items():
        want = want.astype(half) if want.dtype == F32 else want
        assert results[0][name].dtype == want.dtype and results[0][name].tobytes() == want.tobytes()


def network(half) -> tuple:
    """Convolutions, a residual, a mean, a product, Softmax; and the same in float32 with the same numbers."""
    w, v, b, g = random(half, 8, 3, 3, 3), random(half, 8, 8, 3, 3), random(half, 8), random(half, 8, 5)
    nodes = [("Conv", ["x", "w", "b"], ["c"], {"pads": [1] * 4}), ("Relu", ["c"], ["r"], {}),
             ("Conv", ["r", "v"], ["d"], {"pads": [1] * 4}), ("Add", ["d", "r"], ["s"], {}),
             ("Transpose", ["s"], ["t"], {"perm": [0, 2, 3, 1]}), ("ReduceMean", ["t"], ["m"], {"axes": [1, 2],
                                                                                                "keepdims": 0}),
             ("MatMul", ["m", "g"], ["z"], {}), ("Softmax", ["z"], ["y"], {})]
    x, constants = random(half, 1, 3, 9, 9), {"w": w, "v": v, "b": b, "g": g}
    model = make_model(nodes, {"x": x}, ["y", "s"], constants, opset=17)
    wide = make_model(nodes, {"x": x.astype(F32)}, ["y", "s"], {n: a.astype(F32) for n, a in constants.items()},
                      opset=17)
    return model, wide, x


@both
def test_network(half):
    model, wide, x = network(half)
    got, want = run(model, {"x": x}), run(wide, {"x": x.astype(F32)})
    step = float(ml_dtypes.finfo(half).eps)
    for name in ("y", "s"):
        assert got[name].dtype == half
        bound = 8 * step * np.abs(want[name]).max()  # eight roundings of at most half a step, and what they grow to
        assert np.abs(got[name].astype(F32) - want[name]).max() <= bound


@both
def test_without_rounding_it_is_the_float32_network(half):
    model, wide, x = network(half)
    got, want = run(model, {"x": x}, keep_rounding=False), run(wide, {"x": x.astype(F32)})
    for name in ("y", "s"):
        assert got[name].dtype == half and np.array_equal(got[name], want[name].astype(half))
    ops = [n.operator for n in wisp.load(convert(model, verify=False, keep_rounding=False)).nodes()]
    assert ops.count("Cast") == 3 and "Relu" not in ops  # input, two outputs; the rest fuses as ever


@both
def test_verified_by_the_source(half):
    """The source rounds too; what that moves is no fault."""
    lines: list[str] = []
    for options in ({}, {"keep_rounding": False}):
        convert(network(half)[0], report=lines.append, **options)
    assert sum("compared with the source" in line for line in lines) == 2
    assert sum("keep_rounding=False" in line for line in lines) == 1


def test_int8():
    """Calibrated as the float32 network; inputs and outputs keep their type."""
    model, wide, x = network(F16)
    options = {"quantize": "int8", "method": "minmax"}
    data = convert(model, verify=False, calibration=[{"x": x}], **options)
    float32 = convert(wide, verify=False, calibration=[{"x": x.astype(F32)}], **options)
    notes, other = (wisp.load(d).metadata["quantization"] for d in (data, float32))
    more = {*notes["float_nodes"]} - {*other["float_nodes"]}  # at the ends, where numbers have their type
    assert all(n.endswith(".cast") for n in more)
    got, want = wisp.load(data).run({"x": x})["s"], wisp.load(float32).run({"x": x.astype(F32)})["s"]
    assert got.dtype == F16 and np.array_equal(got, want.astype(F16))


@both
def test_movement_converts_nothing(half):
    nodes = [("Transpose", ["x"], ["t"], {"perm": [1, 0]}), ("Concat", ["t", "c"], ["d"], {"axis": 0}),
             ("Gather", ["d", "i"], ["g"], {}), ("Where", ["k", "g", "o"], ["y"], {})]
    x, c = random(half, 4, 6), random(half, 3, 4)
    model = make_model(nodes, {"x": x}, ["y"], {"c": c, "i": np.int64([8, 0, 3]), "k": np.array([True, False] * 2),
                                                "o": np.array([1.5], half)}, opset=22)
    assert not any(n.op == "Cast" for n in optimized(model).nodes)
    want = np.where([True, False] * 2, np.concatenate([x.T, c])[[8, 0, 3]].astype(F32), 1.5)
    assert np.array_equal(run(model, {"x": x})["y"].astype(F32), want)
    assert "float32" not in {t.dtype for t in read(convert(model, verify=False)).tensors}


@both
def test_made_in_the_graph(half):
    """ConstantOfShape, Range, EyeLike, Clip with bounds, a branch that captures: the type comes from the graph."""
    number = helper.np_dtype_to_tensor_dtype(half)
    fill = helper.make_tensor("f", number, [1], np.array([2.5], half).tobytes(), raw=True)
    info = helper.make_tensor_value_info
    branches = [helper.make_graph([helper.make_node(op, ["x", "x"], [op])], op, [], [info(op, number, None)])
                for op in ("Add", "Mul")]
    nodes = [("ConstantOfShape", ["n"], ["a"], {"value": fill}), ("EyeLike", ["x"], ["e"], {"dtype": number}),
             ("Clip", ["x", "lo", "hi"], ["c"], {}),
             ("If", ["go"], ["b"], {"then_branch": branches[0], "else_branch": branches[1]}),
             ("Sum", ["a", "e", "c", "b"], ["y"], {})]
    x = random(half, 3, 3)
    model = make_model(nodes, {"x": x, "go": (bool, [])}, {"y": (half, [3, 3])},
                       {"n": np.int64([3, 3]), "lo": np.array(-0.5, half), "hi": np.array(0.25, half)}, opset=22)
    rounded = lambda v: v.astype(half).astype(F32)  # noqa: E731
    wide = x.astype(F32)
    clipped = np.clip(wide, -0.5, 0.25)
    for go in (True, False):
        branch = rounded(wide + wide if go else wide * wide)
        want = 2.5 + np.eye(3, dtype=F32) + clipped + branch  # Sum is one operator: rounded once
        got = run(model, {"x": x, "go": np.array(go)})["y"].astype(F32)
        np.testing.assert_allclose(got, want, rtol=float(ml_dtypes.finfo(half).eps))


@both
def test_a_type_that_only_the_importer_knows(half):
    """A fused operator of com.microsoft whose type only its input tells."""
    x = random(half, 4, 8)
    model = make_model([("QuickGelu", ["x"], ["g"], {"domain": "com.microsoft"}), ("Neg", ["g"], ["y"], {})],
                       {"x": x}, {"y": (half, [4, 8])}, domains={"com.microsoft": 1})
    wide = x.astype(np.float64)
    want = -(wide / (1 + np.exp(-1.702 * wide)))
    got = run(model, {"x": x})["y"]
    assert got.dtype == half
    np.testing.assert_allclose(got.astype(F32), want, rtol=float(ml_dtypes.finfo(half).eps))


def test_file_size():
    """Constants that are only moved keep their 16 bits; those that are computed with are stored as float32."""
    w = random(F16, 64, 64)
    model = make_model([("Gather", ["w", "i"], ["y"], {})], {"i": (np.int64, [2])}, ["y"], {"w": w})
    assert len(convert(model, verify=False)) < 2 * w.nbytes + 4096
    model = make_model([("MatMul", ["x", "w"], ["y"], {})], {"x": (F16, [2, 64])}, ["y"], {"w": w})
    assert len(convert(model, verify=False)) >= 2 * w.nbytes
