"""Cast, CastLike and BitCast among all element types: every number of the narrow ones, the edges of the others."""
# SPDX-License-Identifier: Apache-2.0
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper

import wisp
from support import make_model, reference
from wisp_converter import UnsupportedError, convert

pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered")  # ml_dtypes, where it meets NaN

rng = np.random.default_rng(29)

INTEGERS = [np.dtype(n) for n in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")]
SMALL = [np.dtype(getattr(ml_dtypes, n)) for n in ("int4", "uint4", "int2", "uint2")]
HALF = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
FLOAT8 = [np.dtype(getattr(ml_dtypes, n)) for n in ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
                                                    "float8_e5m2fnuz")]
FLOAT4, SCALE = np.dtype(ml_dtypes.float4_e2m1fn), np.dtype(ml_dtypes.float8_e8m0fnu)
NARROW = [*HALF, *FLOAT8, FLOAT4]
F32, F64, BOOL = np.dtype(np.float32), np.dtype(np.float64), np.dtype(bool)


def cast_all(x: np.ndarray, targets, **attrs) -> dict[np.dtype, np.ndarray]:
    """x cast to each dtype, by one model."""
    nodes = [("Cast", ["x"], [t.name], {"to": helper.np_dtype_to_tensor_dtype(t), **attrs}) for t in targets]
    model = make_model(nodes, {"x": x}, [t.name for t in targets], opset=25)
    got = wisp.load(convert(model, verify=False)).run({"x": x})
    return {t: got[t.name].view(t) for t in targets}


def every(dtype: np.dtype) -> np.ndarray:
    """Every element of a dtype of at most 16 bits."""
    bits = {FLOAT4: 4}.get(dtype) or (ml_dtypes.iinfo(dtype).bits if dtype in SMALL else 8 * dtype.itemsize)
    return np.arange(2**bits).astype(f"u{dtype.itemsize}").view(dtype)


def same(got: np.ndarray, want: np.ndarray) -> bool:
    """Equal numbers, zeros of equal sign, NaN in the same places."""
    got, want = got.astype(np.float64), want.astype(np.float64)
    return np.array_equal(got, want, equal_nan=True) and np.array_equal(
        np.signbit(got)[~np.isnan(got)], np.signbit(want)[~np.isnan(want)])


# ---- what an element stands for


@pytest.mark.parametrize("source", [*NARROW, SCALE, *SMALL], ids=str)
def test_every_element_means_what_ml_dtypes_says(source):
    x = every(source)
    for target, y in cast_all(x, [F32, F64]).items():
        assert same(y, x.astype(target))


def test_bits_above_a_small_element_do_not_count():
    nibbles = np.arange(256, dtype=np.uint8)
    for dtype, bits in ((SMALL[0], 4), (SMALL[1], 4), (SMALL[2], 2), (SMALL[3], 2), (FLOAT4, 4)):
        want = (nibbles & (2**bits - 1)).view(dtype).astype(np.float32)
        assert same(cast_all(nibbles.view(dtype), [F32])[F32], want)


# ---- rounding


def nearest(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The finite number of dtype nearest to each finite x, half-way the one with even bits; beyond the largest as if
    numbers went on: that is infinity here. By search among all numbers, in exact arithmetic."""
    numbers = every(dtype)[: 2 ** (3 if dtype == FLOAT4 else 8 * dtype.itemsize - 1)].astype(np.float64)
    numbers = numbers[np.isfinite(numbers)]
    numbers = np.append(numbers, 2 * numbers[-1] - numbers[-2])  # what would follow, on the same grid
    above = np.clip(np.searchsorted(numbers, np.abs(x)), 1, len(numbers) - 1)
    found = []
    for value, i in zip(np.abs(x), above):
        low, high = Fraction(float(numbers[i - 1])), Fraction(float(numbers[i]))
        down, up = Fraction(float(value)) - low, high - Fraction(float(value))
        found.append(i - 1 if down < up or (down == up and (i - 1) % 2 == 0) else i)
    result = np.where(np.array(found) == len(numbers) - 1, np.inf, numbers[found])
    return np.copysign(result, x)


def saturated(x: np.ndarray, dtype: np.dtype, saturate: bool) -> np.ndarray:
    """ONNX's tables for floats of 8 bits; infinity for those of 16; float4e2m1 always saturates."""
    finite, largest = np.isfinite(x), float(ml_dtypes.finfo(dtype).max)
    y = x.astype(np.float64)
    y[finite] = nearest(x[finite].astype(np.float64), dtype)
    over = np.isinf(y)
    if dtype == FLOAT4 or (saturate and dtype in FLOAT8):
        y[over] = np.copysign(largest, y[over])
    elif dtype.name not in ("float16", "bfloat16", "float8_e5m2"):
        y[over] = np.nan
    if dtype.name.endswith("fnuz"):
        y[y == 0] = 0.0
    if dtype == FLOAT4:
        y[np.isnan(y)] = 0.0
    return y


def edges(dtype: np.dtype, of: np.dtype) -> np.ndarray:
    """Numbers of `of` about each number of dtype and each middle between two."""
    numbers = every(dtype).astype(np.float64)
    numbers = np.sort(numbers[np.isfinite(numbers)])
    numbers = numbers if len(numbers) < 1000 else np.concatenate([numbers[::97], numbers[:40], numbers[-40:]])
    beyond = numbers[-1] * np.array([1.01, 1.03, 1.0625, 1.125, 1.25, 2, 100])
    with np.errstate(over="ignore"):
        points = np.concatenate([numbers, (numbers[1:] + numbers[:-1]) / 2, beyond, -beyond]).astype(of)
        around = [points, np.nextafter(points, of.type(np.inf)), np.nextafter(points, of.type(-np.inf))]
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo(of).max, np.finfo(of).tiny,
                        np.finfo(of).smallest_subnormal], of)
    return np.concatenate([*around, special])


@pytest.mark.parametrize("saturate", [1, 0])
@pytest.mark.parametrize("target", NARROW, ids=str)
def test_narrow_floats_are_rounded_once(target, saturate):
    for source in (F32, F64):
        x = edges(target, source)
        assert same(cast_all(x, [target], saturate=saturate)[target], saturated(x, target, bool(saturate)))


@pytest.mark.parametrize("source", [*HALF, *FLOAT8, FLOAT4, SCALE, *SMALL], ids=str)
def test_every_element_to_every_narrow_float(source):
    x = every(source)
    some = x if len(x) < 1000 else x[::31]
    for saturate in (1, 0):
        for target, y in cast_all(some, [t for t in NARROW if t != source], saturate=saturate).items():
            assert same(y, saturated(some.astype(np.float64), target, bool(saturate))), (target, saturate)
    for target in HALF:  # all of them: ml_dtypes rounds these as IEEE does
        if source != target:
            with np.errstate(over="ignore"):
                assert same(cast_all(x, [target])[target], x.astype(np.float32).astype(target))


def test_float32_to_half_against_numpy():
    """Through the loop that float16 networks use: all numbers, all middles, their neighbours."""
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    exact = np.sort(halves[np.isfinite(halves)].astype(np.float64))
    between = ((exact[1:] + exact[:-1]) / 2).astype(np.float32)
    x = np.concatenate([halves.astype(np.float32), between, np.nextafter(between, np.float32(np.inf)),
                        np.nextafter(between, np.float32(-np.inf)),
                        np.float32([65519.996, 65520, 1e30, -1e30, 2**-25, -(2**-25), 2**-24, 3e-39])])
    with np.errstate(over="ignore"):
        for target, y in cast_all(x, HALF).items():
            assert same(y, x.astype(target))


def test_integers_are_rounded_once():
    """Through double they would be rounded twice."""
    powers = [2**k + d * 2**j + e for k in (25, 53, 54, 60, 62) for j in (k - 8, k - 9, k - 24, k - 25)
              for d in (1, 3) for e in (-1, 0, 1)]
    signed = np.array([*powers, *(-p for p in powers), -(2**63), 2**63 - 1, 0], np.int64)
    unsigned = np.array([*powers, 2**63 + 2**55, 2**63 + 2**55 + 1, 2**64 - 1], np.uint64)
    for x in (signed, unsigned):
        got = cast_all(x, [F32, F64, HALF[1]])
        assert np.array_equal(got[F32], x.astype(np.float32))
        assert np.array_equal(got[F64], x.astype(np.float64))
        for value, y in zip(x.tolist(), got[HALF[1]].astype(np.float64)):
            step = Fraction(2) ** (value.bit_length() - 8)  # of bfloat16 about here
            exact = Fraction(value) / step
            assert float(round(exact) * step) == y, value  # Python rounds fractions half to even


@pytest.mark.parametrize("mode", ["up", "down", "nearest"])
@pytest.mark.parametrize("saturate", [1, 0])
def test_powers_of_two(mode, saturate):
    """float8e8m0, by ONNX's table and the text of round_mode."""
    def expected(value: float) -> float:
        if np.isnan(value) or ((value == 0 or np.isinf(value)) and not saturate):
            return np.nan
        if value == 0 or np.isinf(value):
            return 2.0**-127 if value == 0 else 2.0**127
        fraction, exponent = np.frexp(abs(value))  # fraction in [1/2, 1)
        exponent += -1 + (fraction > 0.5 if mode == "up" else fraction >= 0.75 if mode == "nearest" else 0)
        if not -127 <= exponent <= 127:
            return 2.0 ** np.clip(exponent, -127, 127) if saturate else np.nan
        return 2.0**exponent

    powers = 2.0 ** np.arange(-130, 130)
    x = np.concatenate([powers, powers * 1.5, powers * 1.0001, powers * 1.4999, powers * 1.9999, [0, np.inf, np.nan]])
    got = cast_all(x, [SCALE], saturate=saturate, round_mode=mode)[SCALE]
    assert same(got, np.array([expected(v) for v in x]))


# ---- integers


def test_integers_keep_their_low_bits():
    for source in (*INTEGERS, *SMALL, BOOL):
        x = every(source) if source.itemsize == 1 and source != BOOL else np.concatenate(
            [np.arange(-40, 300), rng.integers(-2**62, 2**62, 60)]).astype(source)
        wide = x.astype(np.int64) if source != np.dtype(np.uint64) else x.view(np.int64)
        for target, y in cast_all(x, [t for t in (*INTEGERS, *SMALL, BOOL) if t != source]).items():
            if target == BOOL:
                assert np.array_equal(y, wide != 0)
                continue
            bits = ml_dtypes.iinfo(target).bits
            low = wide.view(np.uint64) & np.uint64(2**bits - 1)
            assert np.array_equal(y.astype(np.int64).view(np.uint64) & np.uint64(2**bits - 1), low), (source, target)


@pytest.mark.parametrize("source", [F32, F64, *HALF, *FLOAT8, FLOAT4], ids=str)
def test_floats_to_integers(source):
    """Towards zero and saturated; to 4 and 2 bits modulo 2^bits, as ONNX's tests want it."""
    x = (every(source)[::3] if source.itemsize < 4 else
         np.array([0, -0.9, 1.9, -1.9, 7.5, -8.5, 1e30, -1e30, np.inf, -np.inf, np.nan, 127.99, 2e9, -3e9], source))
    for target, y in cast_all(x, [*INTEGERS, *SMALL, BOOL]).items():
        if target == BOOL:
            assert np.array_equal(y, x.astype(np.float64) != 0)
            continue
        limits = ml_dtypes.iinfo(np.int64 if target in SMALL else target)
        lo, hi = int(limits.min), int(limits.max)
        whole = [0 if np.isnan(v) else hi if v == np.inf else lo if v == -np.inf else min(max(int(v), lo), hi)
                 for v in x.astype(np.float64)]
        if target in SMALL:
            bits = ml_dtypes.iinfo(target).bits
            half = 2 ** (bits - 1) if int(ml_dtypes.iinfo(target).min) < 0 else 0
            whole = [(v + half) % 2**bits - half for v in whole]
        assert y.astype(object).astype(int).tolist() == whole if target in SMALL else y.tolist() == whole, target


def test_plain_dtypes_against_the_reference():
    for source in (*INTEGERS, F32, F64, HALF[0], BOOL):
        x = (rng.standard_normal((5, 30)) if "float" in source.name else rng.integers(0, 100, (5, 30))).astype(source)
        for target in (*INTEGERS, F32, F64, HALF[0], BOOL):
            # ONNX leaves negative floats to unsigned integers open; test_floats_to_integers says what we do
            y = abs(x) if "float" in source.name and target.kind == "u" else x
            model = make_model([("Cast", ["x"], ["y"], {"to": helper.np_dtype_to_tensor_dtype(target)})],
                               {"x": y}, ["y"])
            got = wisp.load(convert(model, verify=False)).run({"x": y})["y"]
            assert got.dtype == target and np.array_equal(got, reference(model, {"x": y})["y"])


# ---- CastLike, BitCast


def test_cast_like():
    x = rng.standard_normal((3, 4)).astype(np.float32)
    for target in (np.dtype(np.int32), *NARROW):
        model = make_model([("CastLike", ["x", "like"], ["y"], {})], {"x": x, "like": (target, [1])}, ["y"], opset=25)
        like = np.zeros(1, target)
        got = wisp.load(convert(model, verify=False)).run({"x": x, "like": like})["y"].view(target)
        want = saturated(x, target, True) if target in NARROW else x.astype(target)
        assert same(got, want)


@pytest.mark.parametrize("source,target", [("float32", "int32"), ("int64", "float64"), ("bfloat16", "float16"),
                                           ("uint16", "bfloat16"), ("float8_e5m2", "uint8"), ("int4", "uint4"),
                                           ("uint4", "float4_e2m1fn"), ("uint2", "int2")])
def test_bits_are_kept(source, target):
    x, y = (np.dtype(getattr(ml_dtypes, n, n)) for n in (source, target))
    bits = {"int4": 4, "uint4": 4, "uint2": 2}.get(source, 8)
    data = rng.integers(0, 2**bits, 24 * x.itemsize).astype(np.uint8).view(x).reshape(4, 6)
    node = ("BitCast", ["x"], ["y"], {"to": helper.np_dtype_to_tensor_dtype(y)})
    model = make_model([node], {"x": data}, {"y": (y, [4, 6])}, opset=26)
    got = wisp.load(convert(model, verify=False)).run({"x": data})["y"]
    assert got.tobytes() == data.tobytes() and got.shape == (4, 6)


def test_refused_by_name():
    def cast(op, to, dtype=np.float32, **attrs):
        return make_model([(op, ["x"], ["y"], {"to": to, **attrs})], {"x": (dtype, [3])},
                          {"y": (helper.tensor_dtype_to_np_dtype(to), [3])}, opset=26)

    with pytest.raises(UnsupportedError, match="Cast.*string"):
        convert(cast("Cast", TensorProto.STRING))
    with pytest.raises(UnsupportedError, match="BitCast.*different numbers of bits"):
        convert(cast("BitCast", TensorProto.INT64))
    with pytest.raises(UnsupportedError, match="round_mode 'odd'"):
        convert(cast("Cast", TensorProto.FLOAT8E8M0, round_mode="odd"))
    wanted = np.dtype(ml_dtypes.float8_e5m2)
    model = make_model([("Add", ["x", "x"], ["y"], {})], {"x": (wanted, [3])}, {"y": (wanted, [3])}, opset=25)
    with pytest.raises(UnsupportedError, match="Add.*float8_e5m2"):
        convert(model)


def test_python_says_what_its_bits_are():
    node = ("Cast", ["x"], ["y"], {"to": TensorProto.FLOAT8E5M2})
    x = np.array([1.5, -2], ml_dtypes.bfloat16)
    model = wisp.load(convert(make_model([node], {"x": x}, ["y"], opset=25), verify=False))
    (source,), (result,) = model.inputs, model.outputs
    assert (source.element_type, source.dtype) == ("bfloat16", np.uint16)
    assert (result.element_type, result.dtype) == ("float8_e5m2", np.uint8)
    as_type, as_bits = model.run(x)["y"], model.run(x.view(np.uint16))["y"]
    assert as_type.dtype == np.uint8 and np.array_equal(as_type, as_bits)
    assert as_type.view(ml_dtypes.float8_e5m2).astype(float).tolist() == [1.5, -2]
    with pytest.raises(TypeError, match="expected bfloat16.*ml_dtypes.bfloat16"):
        model.run(x.astype(np.float32))
