"""The proof of a conversion: what it tolerates, where infinities and NaN must stand, who ran the source; a wrong result
is an error, a good one never is."""
# SPDX-License-Identifier: Apache-2.0
import io
import sys

import numpy as np
import onnx
import pytest
import wisp
from support import make_model
from wisp_converter import VerifyError, convert, reference, verify
from wisp_converter.layers import compare_layers
from wisp_converter.reference import Reference, references
from wisp_converter.sources.onnx.load import load

WANT = np.float32([[1, -2, 0.5], [4, 0, -3]])
IDENTITY = make_model([("Neg", ["x"], ["n"]), ("Neg", ["n"], ["y"])], {"x": [2, 3]}, {"y": [2, 3]})


def claim(source, trusted: bool = True):
    """What claims that y is source(x)."""
    return Reference(lambda names, inputs: [source(inputs["x"].copy())], ["y"], "a claim", trusted)


def convert_against(monkeypatch, source, trusted: bool = True, model=IDENTITY, **options) -> list[str]:
    """The report on a conversion of y = x whose source claims that y is source(x)."""
    monkeypatch.setattr(verify, "references", lambda model, metadata: iter([claim(source, trusted)]))
    return report_of(model, **options)


def report_of(model, **options) -> list[str]:
    lines = []
    convert(model, report=lines.append, **options)
    return lines


def scaled(part: float):
    def source(x):
        x.flat[np.abs(x).argmax()] *= 1 + part
        return x
    return source


@pytest.fixture
def no_onnxruntime(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


@pytest.mark.parametrize("part, holds", [(0.0, True), (0.9e-3, True), (1.2e-3, False), (-1.2e-3, False), (1.0, False)])
def test_tolerance(monkeypatch, part, holds):
    """A thousandth of the largest value."""
    if holds:
        assert convert_against(monkeypatch, scaled(part))
    else:
        with pytest.raises(VerifyError, match="a claim: output y: max difference"):
            convert_against(monkeypatch, scaled(part))
        assert convert(IDENTITY, verify=False)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("exchanged", [False, True])
def test_what_is_not_finite_stands_at_its_place(value, exchanged):
    other = WANT.copy()
    other[0, 1] = value
    pair = (WANT, other) if exchanged else (other, WANT)
    assert verify.compare("y", *pair).relative == np.inf
    assert verify.compare("y", other, other).relative == 0
    with pytest.raises(VerifyError, match="shape"):
        verify.compare("y", WANT, WANT[:1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_instead_of_none_is_an_error(monkeypatch, value):
    def source(x):
        x[0, 1] = value
        return x

    with pytest.raises(VerifyError, match="output y"):
        convert_against(monkeypatch, source)


def test_a_reference_that_is_not_trusted_warns(monkeypatch):
    lines = convert_against(monkeypatch, scaled(0.5), trusted=False)
    warning, = [line for line in lines if line.startswith("warning")]
    assert "a claim" in warning and "y: max difference" in warning and "onnxruntime" in warning


def test_another_shape_is_an_error(monkeypatch):
    with pytest.raises(VerifyError, match=r"'y' has shape \(2, 3\), the source's has \(3, 2\)"):
        convert_against(monkeypatch, lambda x: x.T)
    assert any("shape" in line for line in convert_against(monkeypatch, lambda x: x.T, trusted=False))


def test_noise_of_the_source_itself(monkeypatch):
    """Rounding to steps of 1/64: where an input lies on an edge, a millionth decides, and no result is wrong. Two steps
    are an error."""
    x = np.float32([[0.5, 1.5, 2.5], [3.5, 1, 2]]) / 64

    def source(steps):
        return lambda x: (np.rint(x * 64 - np.float32(0.5 * steps)) / 64 + x).astype(np.float32)

    nodes = [("Mul", ["x", "c"], ["a"]), ("Round", ["a"], ["b"]), ("Div", ["b", "c"], ["d"]),
             ("Add", ["d", "x"], ["y"])]
    model = make_model(nodes, {"x": [2, 3]}, {"y": [2, 3]}, {"c": np.float32(64)})
    lines = convert_against(monkeypatch, source(1e-5), model=model, verify_inputs={"x": x})
    assert any("the source itself moves by" in line for line in lines), lines
    with pytest.raises(VerifyError):
        convert_against(monkeypatch, source(20), model=model, verify_inputs={"x": x})


def test_every_way_to_run_the_source_is_tried(monkeypatch):
    """ONNX Runtime does not know the operator set; ONNX's reference does."""
    model = make_model([("Relu", ["x"], ["y"])], {"x": [2, 3]}, {"y": [2, 3]})
    model.ir_version = onnx.IR_VERSION
    model.opset_import[0].version = onnx.defs.onnx_opset_version()
    names = [r.name if isinstance(r, Reference) else str(r) for r in references(load(model), {})]
    assert len(names) == 2 and names[-1].startswith("ONNX's reference 1.")


def test_without_onnxruntime(no_onnxruntime):
    line, = [line for line in report_of(IDENTITY) if line.startswith("compared")]
    assert f"ONNX's reference {onnx.__version__}" in line and "pip install onnxruntime" in line


def test_a_good_model_that_the_reference_computes_wrongly(no_onnxruntime):
    """Up to opset 13 it takes statistics of the batch for those of the training."""
    rng = np.random.default_rng(0)
    parts = {n: rng.uniform(0.5, 2, 3).astype(np.float32) for n in ("scale", "bias", "mean", "variance")}
    model = make_model([("Relu", ["x"], ["r"]), ("BatchNormalization", ["r", *parts], ["y"], dict(momentum=0.9), "bn")],
                       {"x": [1, 3, 4, 4]}, ["y"], parts, opset=11)
    lines = report_of(model)
    warning, = [line for line in lines if line.startswith("warning")]
    assert "first at BatchNormalization 'bn'" in warning and "pip install onnxruntime" in warning


def test_what_no_reference_runs_is_not_compared(no_onnxruntime):
    """ONNX's reference has no GRU of two directions."""
    w, r = np.ones((2, 6, 3), np.float32), np.ones((2, 6, 2), np.float32)
    model = make_model([("GRU", ["x", "w", "r"], ["y"], dict(hidden_size=2, direction="bidirectional"))],
                       {"x": [4, 1, 3]}, ["y"], {"w": w, "r": r})
    lines = []
    data = convert(model, report=lines.append)
    line, = [line for line in lines if line.startswith("not compared")]
    assert "ONNX's reference" in line and "num_directions" in line and "\n" not in line and "onnxruntime" in line
    assert "accuracy" not in wisp.load(data).metadata


def test_what_ran_the_source_is_stored():
    metadata = wisp.load(convert(IDENTITY)).metadata
    assert metadata["reference"].split()[-1][0].isdigit() and metadata["accuracy"]["y"]["max_abs"] == 0


def test_other_extents(monkeypatch):
    """A batch that was taken for 1 is found out."""
    model = make_model([("Relu", ["x"], ["y"])], {"x": ["batch", 3]}, {"y": ["batch", 3]})
    assert any(line.startswith("with x [2, 3]: y: max difference") for line in report_of(model))
    with pytest.raises(VerifyError, match=r"with x \[2, 3\]: output 'y' has shape"):
        convert_against(monkeypatch, lambda x: np.maximum(x[:1], 0), model=model)

    def refuses(x):
        if len(x) != 1:
            raise IndexError("made for one")
        return np.maximum(x, 0)

    assert not any("[2, 3]" in line for line in convert_against(monkeypatch, refuses, model=model))


def test_scores_near_nothing_explain_themselves(monkeypatch):
    lines = convert_against(monkeypatch, lambda x: x + np.float32(8e-7), verify_inputs={"x": WANT * np.float32(1e-7)})
    line, = [line for line in lines if line.startswith("y: ")]
    assert "everywhere, in both" in line and "SNR" not in line


def test_int8_in_steps():
    rng = np.random.default_rng(1)
    w = (rng.standard_normal((8, 4)) / 3).astype(np.float32)
    model = make_model([("MatMul", ["x", "w"], ["a"]), ("Relu", ["a"], ["y"])], {"x": [4, 8]}, ["y"], {"w": w})
    data = [{"x": rng.standard_normal((4, 8)).astype(np.float32)} for _ in range(8)]
    lines = report_of(model, quantize="int8", calibration=data)
    assert any(line.startswith("y: ") and "steps of int8" in line and "SNR" in line for line in lines), lines
    nothing = verify.Difference("y", 2e-6, 1.0, 0.0, 2e-6, step=1 / 256)
    assert nothing.describe() == ("y: at most 2e-06 everywhere, in both; max difference 2e-06, "
                                  "less than one step of int8 (0.0039)")


@pytest.mark.parametrize("options", [dict(save_as_external_data=True, location="w.bin", size_threshold=0), {}])
@pytest.mark.parametrize("maps", [True, False])
def test_weights_in_files(tmp_path, monkeypatch, options, maps):
    """Within the model's file and outside, and for versions of ONNX Runtime that cannot map them."""
    model = make_model([("MatMul", ["x", "w"], ["y"])], {"x": [4, 64]}, ["y"], {"w": np.eye(64, dtype=np.float32) * 3})
    onnx.save(model, tmp_path / "m.onnx", **options)
    if not maps:
        monkeypatch.setattr(reference, "_mapped_session", None)
    lines = []
    data = convert(tmp_path / "m.onnx", report=lines.append)
    assert any(line.startswith("compared with the source") for line in lines)
    x = {"x": np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)}
    rows, ran = compare_layers(load(tmp_path / "m.onnx"), io.BytesIO(data), x)
    assert rows[-1]["name"] == "y" and rows[-1]["node"] == "MatMul 'MatMul_y'" and rows[-1]["relative"] < 1e-6
    assert ran.startswith("ONNX")
