"""What a file's inputs and outputs stand for: integers and NHWC as the source's real numbers, and back."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from wisp import TensorInfo
from wisp.interface import from_source, to_source

rng = np.random.default_rng(8)


def info(dtype, shape, scale=0.0, zero_point=0) -> TensorInfo:
    return TensorInfo("x", np.dtype(dtype), shape, scale, zero_point)


@pytest.mark.parametrize("dtype, zero", [(np.int8, -5), (np.uint8, 123)])
def test_quantize_is_the_rule_of_the_docs(dtype, zero):
    tensor, scale = info(dtype, (9,), 1 / 32, zero), 1 / 32
    real = np.float32([0, 1 / 64, 3 / 64, -1 / 64, 1, -1e9, 1e9, np.nan, np.inf])
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    want = [zero, zero, zero + 2, zero, zero + 32, low, high, zero, high]  # halves to even
    assert tensor.quantize(real).tolist() == want and tensor.quantize(real).dtype == dtype
    every = np.arange(low, high + 1).astype(dtype)
    assert np.array_equal(tensor.dequantize(every), (np.arange(low, high + 1) - zero) * np.float32(scale))
    assert np.array_equal(tensor.quantize(tensor.dequantize(every)), every)


def test_pixels_by_channel_in_another_layout():
    stated = {"x": {"layout": "NHWC", "dtype": "float32", "mean": [1, 2.5, 127.5], "std": [2, 0.5, 127.5], "axis": 3}}
    metadata, tensor = {"interface": stated}, info(np.uint8, (2, 3, 4, 3))
    pixels = rng.integers(0, 256, (2, 3, 4, 3), np.uint8)
    real = to_source([tensor], metadata, {"x": pixels})["x"]
    assert real.shape == (2, 3, 3, 4) and real.dtype == np.float32 and real.flags.c_contiguous
    for c, (mean, std) in enumerate([(1, 2), (2.5, 0.5), (127.5, 127.5)]):
        assert np.array_equal(real[:, c], (pixels[..., c].astype(np.float32) - np.float32(mean)) / np.float32(std))
    assert np.array_equal(from_source([tensor], metadata, {"x": real})["x"], pixels)
    assert from_source([tensor], metadata, {"x": real * 1e9})["x"].max() == 255


def test_scale_and_layout_without_pixels():
    tensor = info(np.int8, (1, 2, 2, 5), 0.5, 3)
    real = rng.integers(-60, 60, (1, 5, 2, 2)).astype(np.float32) / 2
    metadata = {"interface": {"x": {"layout": "NHWC", "dtype": "float32"}}}
    stored = from_source([tensor], metadata, {"x": real})["x"]
    assert np.array_equal(stored, (real * 2 + 3).transpose(0, 2, 3, 1)) and stored.dtype == np.int8
    assert np.array_equal(to_source([tensor], metadata, {"x": stored})["x"], real)


def test_what_is_not_stated_is_the_sources():
    """Also where a source has quantized tensors of its own."""
    x = np.arange(4, dtype=np.int8)
    for function in (to_source, from_source):
        assert function([info(np.int8, (4,), 0.5, 1)], {}, {"x": x})["x"] is x
