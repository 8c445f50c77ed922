"""What prepares features in ai.onnx.ml, against ONNX Runtime."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from support import check_model, make_model
from wisp_converter import UnsupportedError, convert

rng = np.random.default_rng(8)
ML = "ai.onnx.ml"


def check(op, attributes, x, output=np.float32):
    """ONNX Runtime decides; the rows are an open axis."""
    inputs = x if isinstance(x, dict) else {"x": x}
    infos = {n: (a.dtype, ["rows", *a.shape[1:]] if a.ndim > 1 else a.shape) for n, a in inputs.items()}
    model = make_model([(op, list(inputs), ["y"], {"domain": ML, **attributes})], infos, {"y": (output, None)},
                       domains={ML: 3})
    check_model(model, inputs, trust_reference=False, rtol=1e-6, atol=1e-7)


def numbers(dtype, shape=(6, 4)):
    return (rng.standard_normal(shape) * 3).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32])
def test_scaler(dtype):
    check("Scaler", dict(offset=[0.5, -1.0, 2.0, 0.0], scale=[2.0, 0.1, -1.0, 3.0]), numbers(dtype))
    check("Scaler", dict(offset=[0.5], scale=[2.0]), numbers(dtype))


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_normalizer(norm, dtype):
    x = numbers(dtype, (9, 5))
    x[3] = 0
    check("Normalizer", dict(norm=norm), x)


@pytest.mark.parametrize("threshold", [0.0, 0.75, -1.0])
def test_binarizer(threshold):
    x = np.concatenate([numbers(np.float32), np.float32([[0, 0.75, -1, -0.0]])])
    check("Binarizer", dict(threshold=threshold), x)


def test_imputer():
    x = numbers(np.float32)
    x[rng.random(x.shape) < 0.4] = np.nan
    check("Imputer", dict(imputed_value_floats=[1.0, 2.0, 3.0, 4.0], replaced_value_float=float("nan")), x)
    check("Imputer", dict(imputed_value_floats=[7.0], replaced_value_float=float("nan")), x)
    whole = rng.integers(-1, 2, (6, 4))
    check("Imputer", dict(imputed_value_int64s=[5, 6, 7, 8], replaced_value_int64=-1), whole, np.int64)
    check("Imputer", dict(imputed_value_floats=[9.0], replaced_value_float=1.0), whole.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5)])
def test_array_feature_extractor(dtype, shape):
    x, index = numbers(dtype, shape), np.int64([4, 0, 0, 2])
    model = make_model([("ArrayFeatureExtractor", ["x", "i"], ["y"], {"domain": ML})], {"x": x, "i": index},
                       {"y": (dtype, None)}, domains={ML: 3})
    check_model(model, {"x": x, "i": index}, trust_reference=False)


def test_feature_vectorizer():
    a, b, c = numbers(np.float32, (3, 2)), numbers(np.float32, (3, 4)), numbers(np.float32, (3, 1))
    check("FeatureVectorizer", dict(inputdimensions=[2, 4, 1]), {"a": a, "b": b, "c": c})
    check("FeatureVectorizer", dict(inputdimensions=[3, 2, 1]), {"a": a, "b": b, "c": c})  # filled up, cut, as it is
    check("FeatureVectorizer", dict(inputdimensions=[2, 1]), {"a": a.astype(np.int64), "b": c.astype(np.int64)})


@pytest.mark.parametrize("op", ["Scaler", "Imputer"])
def test_counts_that_do_not_fit_are_refused(op):
    attributes = {"Scaler": dict(offset=[0.0] * 3, scale=[1.0]), "Imputer": dict(imputed_value_floats=[0.0] * 3)}[op]
    model = make_model([(op, ["x"], ["y"], {"domain": ML, **attributes})], {"x": ["n", 4]},
                       {"y": (np.float32, None)}, domains={ML: 3})
    with pytest.raises(UnsupportedError, match="3 values for 4 features"):
        convert(model)
