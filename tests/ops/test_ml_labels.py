"""Categories in ai.onnx.ml: numbers and strings for one another, maps of scores, n-grams."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import onnx
import pytest
import wisp
from onnx import helper, numpy_helper
from support import check_close, check_model, make_model, onnxruntime_outputs
from wisp_converter import UnsupportedError, convert

ML = "ai.onnx.ml"
KINDS = {"int64s": (np.int64, [3, -1, 7, 40, 3]), "floats": (np.float32, [0.5, float("nan"), -2.0, 0.0, 0.5])}


def model_of(op, attributes, x, output, version=2):
    return make_model([(op, ["x"], ["y"], {"domain": ML, **attributes})], {"x": (x.dtype, ["rows", *x.shape[1:]])},
                      {"y": (output, None)}, domains={ML: version})


def run(model, x):
    loaded = wisp.load(convert(model))
    return loaded.run({"x": x})["y"], loaded.metadata


def told(indices, metadata):
    """The strings that indices stand for."""
    return np.array(metadata["strings"], object)[indices]


@pytest.mark.parametrize("values", KINDS)
@pytest.mark.parametrize("keys", KINDS)
def test_label_encoder(keys, values):
    (kind, known), (result, given) = KINDS[keys], KINDS[values]
    given = [2, 4, 8, 16, 32] if values == "int64s" else [0.5, 1.5, -2.0, 0.25, 9.0]
    x = np.array([*known, 5, 100, -3], kind).reshape(2, 4)
    for default in ({}, {"default_int64": 77} if values == "int64s" else {"default_float": 0.125}):
        model = model_of("LabelEncoder", {f"keys_{keys}": known, f"values_{values}": given, **default}, x, result)
        want = onnxruntime_outputs(model, {"x": x})["y"]
        got, _ = run(model, x)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("key", "value"), [(np.int64, np.float64), (np.float64, np.int64), (np.int32, np.int16),
                                            (np.float64, np.float64), (np.int64, np.int64)])
def test_label_encoder_of_tensors(key, value):
    """Version 4, against what is written here: ONNX Runtime has few of these pairs."""
    known, given = np.array([1, 5, 2], key), np.array([10, 20, 30], value)
    x = np.array([[2, 5], [3, 1], [5, 5]], key)
    attributes = dict(keys_tensor=numpy_helper.from_array(known), values_tensor=numpy_helper.from_array(given),
                      default_tensor=numpy_helper.from_array(np.array([7], value)))
    got = wisp.load(convert(model_of("LabelEncoder", attributes, x, value, version=4), verify=False)).run({"x": x})["y"]
    assert got.dtype == value
    np.testing.assert_array_equal(got, np.array([[30, 20], [7, 10], [20, 20]], value))


def test_strings_as_values():
    x = np.int64([2, 0, 9, 1])
    attributes = dict(keys_int64s=[0, 1, 2], values_strings=["no", "yes", "no"], default_string="never seen")
    model = model_of("LabelEncoder", attributes, x, np.dtype("O"))
    got, metadata = run(model, x)
    assert got.dtype == np.int64
    np.testing.assert_array_equal(told(got, metadata), onnxruntime_outputs(model, {"x": x})["y"])
    model = model_of("LabelEncoder", dict(classes_strings=["a", "b", "c"], default_string="?"), x, np.dtype("O"), 1)
    got, metadata = run(model, x)
    np.testing.assert_array_equal(told(got, metadata), ["c", "a", "?", "b"])
    mapper = dict(cats_int64s=[1, 2, 3], cats_strings=["x", "y", "z"], default_string="other")
    got, metadata = run(model_of("CategoryMapper", mapper, x, np.dtype("O"), 1), x)
    np.testing.assert_array_equal(told(got, metadata), ["y", "other", "other", "x"])


@pytest.mark.parametrize("op", ["LabelEncoder", "CategoryMapper"])
def test_strings_of_a_node_before_as_keys(op):
    x = np.int64([[2, 0], [9, 1]])
    second = (dict(keys_strings=["b", "a"], values_int64s=[5, 6], default_int64=-7) if op == "LabelEncoder"
              else dict(cats_strings=["b", "a"], cats_int64s=[5, 6], default_int64=-7))
    nodes = [("CategoryMapper", ["x"], ["s"], dict(domain=ML, cats_int64s=[0, 1, 2], cats_strings=["a", "b", "c"])),
             ("Transpose", ["s"], ["t"], dict(perm=[1, 0])), (op, ["t"], ["y"], dict(domain=ML, **second))]
    model = make_model(nodes, {"x": (np.int64, ["n", 2])}, {"y": (np.int64, None)}, domains={ML: 2})
    got, _ = run(model, x)
    np.testing.assert_array_equal(got, [[-7, -7], [6, 5]])


def test_strings_as_inputs():
    """Inputs that are strings in the source are their indices in the metadata; others are any other number."""
    cities = np.array([["Rome"], ["Oslo"], ["Lima"], ["Oslo"]], object)
    nodes = [("OneHotEncoder", ["x"], ["h"], dict(domain=ML, cats_strings=["Oslo", "Rome"], zeros=1)),
             ("Reshape", ["h", "shape"], ["y"])]
    model = make_model(nodes, {"x": (np.dtype("O"), ["n", 1])}, {"y": (np.float32, None)},
                       {"shape": np.int64([-1, 2])}, domains={ML: 2})
    loaded = wisp.load(convert(model))
    known = loaded.metadata["strings"]
    x = np.int64([[known.index(c) if c in known else -1 for c in row] for row in cities])
    np.testing.assert_array_equal(loaded.run({"x": x})["y"], onnxruntime_outputs(model, {"x": cities})["y"])


def test_strings_are_not_computed_with():
    model = make_model([("StringConcat", ["x", "x"], ["y"])], {"x": (np.dtype("O"), ["n"])},
                       {"y": (np.dtype("O"), ["n"])}, opset=20)
    with pytest.raises(UnsupportedError, match="StringConcat"):
        convert(model)
    model = make_model([("Cast", ["x"], ["y"], {"to": onnx.TensorProto.FLOAT})], {"x": (np.dtype("O"), ["n"])},
                       {"y": (np.float32, ["n"])})
    with pytest.raises(UnsupportedError, match="Cast .elements of type string"):
        convert(model)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_one_hot_encoder(dtype, shape):
    x = np.array([3, 1, 9, 1, 4], dtype).reshape(shape)
    check_model(model_of("OneHotEncoder", dict(cats_int64s=[1, 3, 4], zeros=1), x, np.float32), {"x": x},
                trust_reference=False)


def test_one_hot_encoder_without_zeros():
    x = np.int64([3, 1, 4])
    model = model_of("OneHotEncoder", dict(cats_int64s=[1, 3, 4], zeros=0), x, np.float32)
    check_model(model, {"x": x}, trust_reference=False)
    with pytest.raises(wisp.WispError, match="index"):
        wisp.load(convert(model, verify=False)).run({"x": np.int64([3, 2, 4])})


@pytest.mark.parametrize("labels", [dict(classlabels_int64s=[4, 5, 9]), dict(classlabels_strings=["a", "b", "c"])])
def test_zip_map(labels):
    x = np.float32([[0.5, 0.25, 0.25], [0, 1, 0]])
    node = helper.make_node("ZipMap", ["x"], ["y"], domain=ML, **labels)
    key = onnx.TensorProto.STRING if "classlabels_strings" in labels else onnx.TensorProto.INT64
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(key, helper.make_tensor_type_proto(1, [])))
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", 1, ["n", 3])],
                              [helper.make_value_info("y", kind)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(ML, 1)],
                              ir_version=8)
    want = onnxruntime_outputs(model, {"x": x})["y"]
    got, metadata = run(model, x)
    maps = [dict(zip(metadata["labels"], row.tolist())) for row in got]
    assert maps == [{str(k): v for k, v in row.items()} for row in want]


# ---- n-grams


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("lengths", [(1, 1, 0), (1, 2, 0), (2, 2, 3), (1, 3, 2), (3, 3, 1)])
@pytest.mark.parametrize("shape", [(12,), (4, 12), (3, 2)])
def test_tfidf(mode, lengths, shape):
    rng = np.random.default_rng(3)
    pool = [[(v,) for v in (1, 2, 5)], [(1, 2), (2, 1), (5, 5), (2, 2)], [(1, 2, 1), (5, 2, 1)]]
    flat = [v for grams in pool for gram in grams for v in gram]
    places = [int(p) for p in rng.permutation(9)]
    for dtype, weights in ((np.int64, {"weights": [0.5 + i for i in range(9)]}), (np.int32, {})):
        x = rng.integers(0, 6, shape).astype(dtype)
        model = make_model([("TfIdfVectorizer", ["x"], ["y"], dict(
            mode=mode, min_gram_length=lengths[0], max_gram_length=lengths[1], max_skip_count=lengths[2],
            ngram_counts=[0, 3, 11], ngram_indexes=places, pool_int64s=flat, **weights))],
            {"x": (dtype, [f"d{i}" for i in range(x.ndim)])}, {"y": (np.float32, None)})
        got = check_model(model, {"x": x}, trust_reference=False)["y"]
        assert got.shape == (*shape[:-1], 9)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cdist(metric, dtype):
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((5, 3)).astype(dtype), rng.standard_normal((7, 3)).astype(dtype)
    b[2] = a[1]
    model = make_model([("CDist", ["a", "b"], ["y"], {"domain": "com.microsoft", "metric": metric})],
                       {"a": (dtype, ["n", 3]), "b": (dtype, ["m", 3])}, {"y": (dtype, None)},
                       domains={"com.microsoft": 1})
    got = wisp.load(convert(model)).run({"a": a, "b": b})["y"]
    far = ((a[:, None].astype(np.float64) - b[None]) ** 2).sum(-1)
    check_close(got, (far if metric == "sqeuclidean" else np.sqrt(far)).astype(dtype), metric, rtol=1e-6, atol=0)
    assert got[1, 2] == 0
