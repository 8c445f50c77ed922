"""DFT and STFT against numpy's transforms in f64."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from support import make_model, onnxruntime_outputs
from wisp_converter import UnsupportedError, convert

rng = np.random.default_rng(61)
LENGTHS = [1, 2, 3, 4, 5, 8, 12, 17, 30, 64, 97, 128, 400, 1024]


def run(model, inputs):
    return wisp.load(convert(model, verify=False), threads=2).run(inputs)["y"]


def pairs(numbers):
    return np.stack([numbers.real, numbers.imag], -1)


def close(got, want, terms, dtype=np.float32):
    """One rounding to dtype, of a result in f64: of `terms` numbers, here and in numpy, each rounded at most twice as
    often."""
    assert got.dtype == dtype and got.shape == want.shape
    size = np.abs(want).max(initial=0)
    bound = np.finfo(dtype).eps * size + 4 * terms * np.finfo(np.float64).eps * size * np.sqrt(terms)
    assert np.abs(got - want).max(initial=0) <= bound


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("n", LENGTHS)
def test_dft_of_any_length(n, parts, dtype):
    x = rng.standard_normal((2, n, 3, parts)).astype(dtype)
    numbers = x[..., 0] + (1j * x[..., 1] if parts == 2 else 0)
    for inverse in (0, 1):
        model = make_model([("DFT", ["x"], ["y"], dict(axis=1, inverse=inverse))], {"x": x},
                           {"y": (dtype, (2, n, 3, 2))})
        want = pairs((np.fft.ifft if inverse else np.fft.fft)(numbers.astype(complex), axis=1))
        close(run(model, {"x": x}), want, n, dtype)


@pytest.mark.parametrize("length", [None, 5, 16, 30])
@pytest.mark.parametrize("axis", [0, 1, -2])
def test_dft_with_axis_and_length_as_inputs(axis, length):
    x = rng.standard_normal((4, 16, 2)).astype(np.float32)
    want = pairs(np.fft.fft(x[..., 0] + 1j * x[..., 1].astype(complex), length, axis=1 if axis == -2 else axis))
    given = {"axis": np.array(axis), **({} if length is None else {"length": np.array(length)})}
    for constant in (True, False):
        spec = {"x": ["a", "b", 2], **({} if constant else {n: (np.int64, []) for n in given})}
        model = make_model([("DFT", ["x", "" if length is None else "length", "axis"], ["y"])], spec,
                           {"y": [None, None, 2]}, given if constant else {}, opset=20)
        close(run(model, {"x": x, **({} if constant else given)}), want, 30)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 30])
def test_one_sided_dft_and_back(n):
    x = rng.standard_normal((3, n, 1)).astype(np.float32)
    half = pairs(np.fft.rfft(x[..., 0].astype(np.float64), axis=1))
    model = make_model([("DFT", ["x"], ["y"], dict(onesided=1))], {"x": x}, {"y": half.shape})
    close(run(model, {"x": x}), half, n)
    half = half.astype(np.float32)
    model = make_model([("DFT", ["x", "n"], ["y"], dict(onesided=1, inverse=1))], {"x": half},
                       {"y": [3, None, None]}, {"n": np.array(n)})
    want = np.fft.irfft(half[..., 0] + 1j * half[..., 1].astype(np.float64), n, axis=1)
    close(run(model, {"x": half}), want[..., None], n)


@pytest.mark.parametrize("samples", [160, "n"])
@pytest.mark.parametrize("window", [True, False])
@pytest.mark.parametrize("onesided", [0, 1])
def test_stft(samples, window, onesided):
    x = rng.standard_normal((2, 160, 1)).astype(np.float32)
    weights = np.hanning(32).astype(np.float32)
    frames = np.stack([x[:, s:s + 32, 0] for s in range(0, 160 - 32 + 1, 10)], 1) * (weights if window else 1)
    want = pairs((np.fft.rfft if onesided else np.fft.fft)(frames.astype(np.float64)))
    model = make_model([("STFT", ["x", "step", "w" if window else "", "length"], ["y"], dict(onesided=onesided))],
                       {"x": [2, samples, 1]}, {"y": [2, None, None, 2]},
                       {"step": np.array(10), "w": weights, "length": np.array(32)})
    close(run(model, {"x": x}), want, 32)
    theirs = onnxruntime_outputs(model, {"x": x})
    assert theirs is not None
    np.testing.assert_allclose(run(model, {"x": x}), theirs["y"], atol=1e-4)


def test_what_is_no_transform_is_refused():
    for shape, axis, words in (((2, 8, 3), 1, "1 or 2 parts, not 3"), ((2, 8, 1), 2, "no axis of numbers"),
                               ((2, 0, 1), 1, "the length 0")):
        model = make_model([("DFT", ["x"], ["y"], dict(axis=axis))], {"x": shape}, {"y": [None] * 3})
        with pytest.raises(UnsupportedError, match=words):
            run(model, {"x": np.zeros(shape, np.float32)})
