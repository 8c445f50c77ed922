"""A model's inputs and outputs as the source has them, and as the file has them after `wisp convert --io, --layout`.

What differs, and does not follow from a tensor's own scale and zero point, stands in the metadata:

    "interface": {name: {"layout": "NHWC", "dtype": "float32", "mean": [...], "std": [...], "axis": 3}}

layout: of the file's tensor, the source's is NCHW. dtype: the source's, where the file has integers: real = scale *
(stored - zero_point), or, with mean and std for each index of the file's axis, pixels: real = (pixel - mean) / std.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .session import TensorInfo

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
Arrays = Mapping[str, NDArray[Any]]


def to_source(tensors: Sequence[TensorInfo], metadata: Mapping[str, Any], arrays: Arrays) -> dict[str, NDArray[Any]]:
    """{name: array} of the file's inputs or outputs as the source has them: real numbers, its layout."""
    return _convert(tensors, metadata, arrays, _to_source)


def from_source(tensors: Sequence[TensorInfo], metadata: Mapping[str, Any], arrays: Arrays) -> dict[str, NDArray[Any]]:
    """The inverse of `to_source`, rounded to what the file's tensors can hold."""
    return _convert(tensors, metadata, arrays, _from_source)


def source_preprocessing(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """How pictures become the source's input `name`, which the file's metadata say of the file's."""
    is_nhwc = metadata.get("interface", {}).get(name, {}).get("layout") == "NHWC"
    return {**metadata["preprocessing"], "dtype": "float32", **({"layout": "NCHW"} if is_nhwc else {})}


def _convert(tensors: Sequence[TensorInfo], metadata: Mapping[str, Any], arrays: Arrays,
             one: Callable[[TensorInfo, Mapping[str, Any], NDArray[Any]], NDArray[Any]]) -> dict[str, NDArray[Any]]:
    stated, infos = metadata.get("interface", {}), {t.name: t for t in tensors}
    return {name: one(infos[name], stated[name], array) if name in stated else array
            for name, array in arrays.items()}


def _to_source(info: TensorInfo, stated: Mapping[str, Any], array: NDArray[Any]) -> NDArray[Any]:
    if "mean" in stated:
        array = pixels_to_real(array, stated["mean"], stated["std"], stated["axis"])
    elif "dtype" in stated:
        array = info.dequantize(array)
    return np.ascontiguousarray(array.transpose(TO_NCHW)) if stated.get("layout") == "NHWC" else array


def _from_source(info: TensorInfo, stated: Mapping[str, Any], array: NDArray[Any]) -> NDArray[Any]:
    if stated.get("layout") == "NHWC":
        array = np.ascontiguousarray(array.transpose(TO_NHWC))
    if "mean" in stated:
        mean, std = (_along(stated[key], stated["axis"], array.ndim) for key in ("mean", "std"))
        return np.asarray(np.clip(np.rint(array * std + mean), 0, 255), np.uint8)
    return info.quantize(array) if "dtype" in stated else array


def pixels_to_real(pixels: NDArray[Any], mean: Sequence[float], std: Sequence[float],
                   axis: int = -1) -> NDArray[np.float32]:
    """f32 (pixel - mean) / std, mean and std for each index of `axis`."""
    return (pixels.astype(np.float32) - _along(mean, axis, pixels.ndim)) / _along(std, axis, pixels.ndim)


def _along(values: Sequence[float], axis: int, rank: int) -> NDArray[np.float32]:
    shape = [1] * rank
    shape[axis] = -1
    return np.asarray(values, np.float32).reshape(shape)
