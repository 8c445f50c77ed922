"""What a caller gives as an input, as an array of the model's dtype: converted where no value changes, else refused."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ArgumentError, DtypeError

_LITERALS = (bool, int, float, list, tuple)


def convert(name: str, value: Any, dtype: np.dtype[Any], element_type: str = "") -> NDArray[Any]:
    """`value`, for the input `name`, as an array of `dtype`; itself where it is one.

    An array of another dtype is converted if every value stays what it is, NaN and infinity included. Python numbers
    and lists are literals, whose floats are rounded. Floats never become integers. 8-bit integers do not become floats:
    pictures and quantized tensors have to be scaled first. Raises DtypeError, or ArgumentError for what is no array.

    element_type: a type that numpy lacks, see TensorInfo; then the array must have it, or `dtype`, that of its bits.
    """
    if element_type:
        return _bits(name, value, dtype, element_type)
    literal = isinstance(value, _LITERALS)
    array = _as_array(name, value)
    if array.dtype == dtype or literal and not array.size:
        return array.astype(dtype, copy=False)
    have, want = array.dtype.kind, dtype.kind
    if have not in "biuf" or have == "f" != want:
        raise DtypeError(f"input {name!r} is {array.dtype}, expected {dtype}{_advice(array, dtype)}")
    if have in "iu" and array.dtype.itemsize == 1 and want == "f":
        raise DtypeError(f"input {name!r} is {array.dtype}, expected {dtype}: scale a picture or a quantized tensor as "
                         "the model was trained; if the numbers are right as they are, "
                         f"convert it with .astype(numpy.{dtype})")
    with np.errstate(over="ignore", invalid="ignore"):
        result = array.astype(dtype)
        same = _unchanged(array, result)
    if literal and have == want == "f":
        same |= np.isfinite(result)
    if not same.all():
        value = array.flat[int(np.argmin(same))]
        raise DtypeError(f"input {name!r} is {array.dtype}, expected {dtype}, which cannot hold {value}"
                         f"{_advice(array, dtype)}")
    return result


def _bits(name: str, value: Any, dtype: np.dtype[Any], element_type: str) -> NDArray[Any]:
    array = _as_array(name, value)
    if array.dtype != dtype and array.dtype.name != element_type:
        raise DtypeError(f"input {name!r} is {array.dtype}, expected {element_type}; "
                         f"convert it with .astype(ml_dtypes.{element_type})")
    return array.view(dtype)


def _as_array(name: str, value: Any) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(f"input {name!r} is not an array: {error}") from None
    if array.dtype.kind == "O" and not array.ndim:
        raise ArgumentError(f"input {name!r} is {type(value).__name__}, expected an array")
    return array


def _unchanged(array: NDArray[Any], result: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are the same after conversion."""
    if array.dtype.kind == "f":
        return np.asarray((result == array) | (result != result) & (array != array))
    if result.dtype.kind == "f":  # up to here a float holds every integer
        limit = 2 ** (np.finfo(result.dtype).nmant + 1)
        return np.asarray((array >= -limit) & (array <= limit))
    return np.asarray((result.astype(array.dtype) == array) & ((result < 0) == (array < 0)))


def _advice(array: NDArray[Any], dtype: np.dtype[Any]) -> str:
    """What to write instead."""
    return f"; convert it with .astype(numpy.{dtype})" if array.dtype.kind == "f" == dtype.kind else ""
