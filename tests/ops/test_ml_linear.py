"""Linear models and support vector machines of ai.onnx.ml, against ONNX Runtime."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from support import check_close, make_model, onnxruntime_outputs
from wisp_converter import convert

ML = "ai.onnx.ml"
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
KERNELS = ["LINEAR", "POLY", "RBF", "SIGMOID"]


@pytest.fixture
def rng():
    return np.random.default_rng(9)


def floats(array):
    return [float(v) for v in np.float32(array).ravel()]


def check(op, attributes, x, label=None):
    """ONNX Runtime decides. `label`: what the class is where it is wrong about that, from its scores."""
    outputs = {"y": (np.float32, None)}
    if "Classifier" in op:
        text = "classlabels_strings" in attributes
        outputs = {"label": (np.dtype("O") if text else np.int64, None), "y": (np.float32, None)}
    model = make_model([(op, ["x"], list(outputs), {"domain": ML, **attributes})],
                       {"x": (x.dtype, ["rows", x.shape[1]])}, outputs, domains={ML: 1})
    want = onnxruntime_outputs(model, {"x": x})
    assert want is not None, "ONNX Runtime refuses the model"
    loaded = wisp.load(convert(model, verify=False))
    got = loaded.run({"x": x})
    check_close(got["y"], want["y"], "y", rtol=2e-5, atol=2e-6)
    if "label" in want:
        expected = want["label"] if label is None else label(want["y"])
        labels = got["label"]
        if expected.dtype.kind in "OU":
            labels = np.array(loaded.metadata["strings"], object)[labels]
        np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("targets", [1, 3])
def test_linear_regressor(rng, dtype, targets):
    x = (rng.standard_normal((7, 5)) * 2).astype(dtype)
    attributes = dict(targets=targets, coefficients=floats(rng.standard_normal((targets, 5))))
    if dtype == np.float32:
        check("LinearRegressor", attributes, x)
    if dtype != np.float32:
        x = x.astype(np.float32)  # which is all ONNX Runtime takes
    check("LinearRegressor", {**attributes, "intercepts": floats(rng.standard_normal(targets))}, x)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("strings", [False, True])
def test_linear_classifier(rng, transform, classes, strings):
    x = rng.standard_normal((40, 4)).astype(np.float32)
    scale, shift = (0.02, 0.75) if transform == "PROBIT" else (1, 0)  # whose root loses all digits near 0.5
    labels = (dict(classlabels_strings=[f"class {i}" for i in range(classes)]) if strings
              else dict(classlabels_ints=[7 * i + 2 for i in range(classes)]))
    attributes = dict(coefficients=floats(scale * rng.standard_normal((classes, 4))),
                      intercepts=floats(shift + scale * rng.standard_normal(classes)), multi_class=classes > 2)
    check("LinearClassifier", {**attributes, **labels, "post_transform": transform}, x)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_linear_classifier_of_one_score(rng, transform):
    x = rng.standard_normal((40, 4)).astype(np.float32)
    check("LinearClassifier", dict(coefficients=floats(rng.standard_normal(4)), intercepts=[0.1],
                                   classlabels_ints=[3, 8], post_transform=transform), x)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("one_class", [0, 1])
def test_svm_regressor(rng, kernel, one_class):
    x = rng.standard_normal((30, 5)).astype(np.float32)
    check("SVMRegressor", dict(
        kernel_type=kernel, kernel_params=[0.3, 0.5, 3.0], n_supports=8, one_class=one_class, rho=[0.2],
        support_vectors=floats(rng.standard_normal((8, 5))), coefficients=floats(rng.standard_normal(8))), x)


def test_svm_regressor_without_support_vectors(rng):
    x = rng.standard_normal((30, 5)).astype(np.float32)
    check("SVMRegressor", dict(kernel_type="LINEAR", kernel_params=[0.0, 0.0, 3.0], n_supports=0, rho=[0.2],
                               coefficients=floats(rng.standard_normal(5))), x)


def machine(rng, classes, kernel, features=4, each=5):
    pairs, vectors = classes * (classes - 1) // 2, classes * each
    return dict(kernel_type=kernel, kernel_params=[0.3, 0.5, 2.0], vectors_per_class=[each] * classes,
                support_vectors=floats(rng.standard_normal((vectors, features))),
                coefficients=floats(rng.standard_normal((classes - 1, vectors))),
                rho=floats(0.1 * rng.standard_normal(pairs)), classlabels_ints=[3 * i + 1 for i in range(classes)])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_svm_classifier(rng, kernel, classes, transform):
    x = rng.standard_normal((30, 4)).astype(np.float32)
    check("SVMClassifier", {**machine(rng, classes, kernel), "post_transform": transform}, x)


@pytest.mark.parametrize("classes", [2, 3, 5, 12])
def test_svm_classifier_with_probabilities(rng, classes):
    x, pairs = rng.standard_normal((30, 4)).astype(np.float32), classes * (classes - 1) // 2
    check("SVMClassifier", {**machine(rng, classes, "RBF"), "prob_a": floats(-1 - rng.random(pairs)),
                            "prob_b": floats(0.2 * rng.standard_normal(pairs))}, x)


def test_svm_classifier_without_support_vectors(rng):
    x = rng.standard_normal((30, 4)).astype(np.float32)
    check("SVMClassifier", dict(kernel_type="LINEAR", kernel_params=[0.0, 0.0, 3.0], rho=[0.1],
                                coefficients=floats(rng.standard_normal((3, 4))), classlabels_ints=[4, 5, 6]), x,
          label=lambda scores: 4 + scores.argmax(1))  # it has 1 or 0, whatever the labels
