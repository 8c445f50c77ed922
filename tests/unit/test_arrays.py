"""What is taken as an input: other dtypes and lists where no value changes, everything else refused by name."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from wisp.arrays import convert

F16, F32, F64 = map(np.dtype, (np.float16, np.float32, np.float64))
INTEGERS = [np.dtype(f"{sign}{size}") for sign in "iu" for size in (1, 2, 4, 8)]
BOOL = np.dtype(np.bool_)


@pytest.mark.parametrize("value, dtype, want", [
    ([[0.1, 2]], F32, np.float32([[0.1, 2]])), ((1, 2, 3), F32, np.float32([1, 2, 3])), (3, F32, np.float32(3)),
    ([True, False], F32, np.float32([1, 0])), ([], F32, np.float32([])), ([float("inf"), float("nan")], F32, None),
    ([1, -128], np.dtype(np.int8), np.int8([1, -128])), ([0, 1, True], BOOL, np.array([False, True, True])),
    (np.float16([0.1, np.nan, np.inf]), F32, None), (np.float64([0.5, np.nan, -np.inf, -0.0]), F32, None),
    (np.float32([0.5, 65504]), F16, None), (np.arange(-5, 5), F32, None), (np.uint16([0, 65535]), F32, None),
    (np.array([True]), np.dtype(np.int64), np.int64([1])), (np.float64(0.25), F32, np.float32(0.25)),
    (np.uint64([5]), np.dtype(np.int8), np.int8([5])), (np.float32([1.5]).astype(">f4"), F32, np.float32([1.5])),
    (np.int64([1 << 24, -(1 << 24)]), F32, None),
])
def test_converted(value, dtype, want):
    got = convert("x", value, dtype)
    want = np.asarray(value) if want is None else want
    assert got.dtype == dtype and got.shape == want.shape
    np.testing.assert_array_equal(got, want)
    assert np.array_equal(np.signbit(got.astype(float)), np.signbit(want.astype(float)))


REFUSED = {
    "float64": (np.float64([0.5, 0.1]), F32, "is float64, expected float32, which cannot hold 0.1; convert"),
    "large": (np.float64([1e300]), F32, r"which cannot hold 1e\+300; convert it with .astype\(numpy.float32\)"),
    "literal": ([1e300], F32, r"cannot hold 1e\+300"),
    "float16": (np.float32([0.1]), F16, "cannot hold 0.1"),
    "picture": (np.zeros((2, 2), np.uint8), F32, "scale a picture or a quantized tensor as the model was trained"),
    "int8": (np.zeros(2, np.int8), F32, "is int8, expected float32: scale"),
    "float to integer": (np.float32([1]), np.dtype(np.int64), "is float32, expected int64$"),
    "floats to integers": ([1.0], np.dtype(np.int64), "is float64, expected int64$"),
    "300": ([1, 300], np.dtype(np.int8), "expected int8, which cannot hold 300"),
    "-1": ([-1], np.dtype(np.uint8), "expected uint8, which cannot hold -1"),
    "wraps": (np.uint64([1 << 63]), np.dtype(np.int64), "which cannot hold 9223372036854775808"),
    "wraps back": (np.int64([-1]), np.dtype(np.uint64), "which cannot hold -1"),
    "no int64": ([1 << 70], np.dtype(np.int64), "is object, expected int64"),
    "no bool": ([2], BOOL, "cannot hold 2"),
    "no float32": ([(1 << 24) + 1], F32, "cannot hold 16777217"),
    "text": (["a"], F32, "is <U1, expected float32"),
    "complex": (1j, F32, "is complex128, expected float32"),
}
NO_ARRAY = {"None": (None, "is NoneType"), "dict": ({"a": 1}, "is dict"),
            "ragged": ([[1, 2], [3]], "is not an array: ")}


@pytest.mark.parametrize("value, dtype, text", REFUSED.values(), ids=REFUSED)
def test_refused(value, dtype, text):
    with pytest.raises(wisp.DtypeError, match=f"^input 'x' .*{text}"):
        convert("x", value, dtype)


@pytest.mark.parametrize("value, text", NO_ARRAY.values(), ids=NO_ARRAY)
def test_no_array(value, text):
    with pytest.raises(wisp.ArgumentError, match=f"^input 'x' {text}"):
        convert("x", value, F32)


@given(st.data(), st.sampled_from([*INTEGERS, BOOL, F16, F32, F64]), st.sampled_from([*INTEGERS, BOOL, F16, F32, F64]))
def test_nothing_is_lost(data, have, want):
    """By Python's own numbers, which are exact: what is converted is equal, what is refused differs."""
    array = data.draw(arrays(have, array_shapes(max_dims=2, max_side=3)))
    try:
        got = convert("x", array, want)
    except wisp.DtypeError as error:
        if "cannot hold" in str(error):
            limit = 2 ** (np.finfo(want).nmant + 1) if want.kind == "f" else None
            with np.errstate(all="ignore"):
                changed = [a.item() != a.astype(want).item() or (limit and abs(a.item()) > limit)
                           for a in array.ravel() if a == a]
            assert any(changed)
        else:
            assert have.kind == "f" != want.kind or have.kind in "iu" and have.itemsize == 1 and want.kind == "f"
        return
    assert got.dtype == want
    for a, b in zip(array.ravel().tolist(), got.ravel().tolist()):
        assert a == b or a != a and b != b


def test_an_array_that_fits_is_taken_as_it_is():
    x = np.ones(3, np.float32)
    assert convert("x", x, F32) is x


def test_lists_and_other_dtypes_run(small_files, x8):
    model = wisp.load(small_files["float"])
    want = model.run(x8)["y"]
    for same in (x8.tolist(), x8.astype(np.float64), tuple(x8), x8.astype(">f4"), {"x": x8.tolist()}):
        assert np.array_equal(model.run(same)["y"], want)
