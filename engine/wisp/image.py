"""Pictures as model inputs, by the preprocessing that the converter wrote into the file. Needs Pillow.

    {"size": [height, width], "crop": 0.875, "channel_order": "RGB", "mean": [..3], "std": [..3], "layout": "NCHW",
     "dtype": "float32"}

"preset" stands for a mean and a std; "unit": 1 says that mean and std are given for pixels of 0..1. `complete` writes
both out: files have neither.

The picture is scaled (bicubic) so that its short side is the model's divided by `crop`, its centre is cut out, and
each value becomes (pixel - mean) / std, pixels in 0..255 and mean and std in the same unit. With dtype "uint8" it
stays a pixel: the model itself does that.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ArgumentError, UnsupportedError
from .interface import pixels_to_real

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")
DEFAULTS: dict[str, Any] = {"crop": 1.0, "channel_order": "RGB", "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0],
                            "layout": "NCHW", "dtype": "float32"}

PRESETS = {"imagenet": ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]), "0..1": ([0.0] * 3, [255.0] * 3),
           "-1..1": ([127.5] * 3, [127.5] * 3), "bytes": ([0.0] * 3, [1.0] * 3)}
"""(mean, std) for RGB pixels of 0..255 by what the training code did; imagenet: torchvision's Normalize."""


def is_image(path: str | os.PathLike[str]) -> bool:
    return os.fspath(path).lower().endswith(SUFFIXES)


def complete(preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """All but the size stated, mean and std in units of pixels 0..255. ArgumentError, which begins with the key, for
    values that make no sense."""
    given = dict(preprocessing)
    preset, unit = given.pop("preset", None), given.pop("unit", 255)
    options = {**DEFAULTS, **given}
    _check("preset", preset is None or preset in PRESETS, f"expected one of {', '.join(PRESETS)}")
    _check("preset", preset is None or not {"mean", "std"} & set(given), "states mean and std; leave those out")
    _check("unit", unit in (1, 255), "expected 1 or 255, what the brightest pixel was when mean and std were found")
    _check("channel_order", options["channel_order"] in ("RGB", "BGR"), "expected RGB or BGR")
    _check("layout", options["layout"] in ("NCHW", "NHWC"), "expected NCHW or NHWC")
    _check("crop", 0 < options["crop"] <= 1, "expected more than 0 and at most 1")
    if preset is not None:
        order = slice(None, None, -1 if options["channel_order"] == "BGR" else 1)
        options["mean"], options["std"] = (values[order] for values in PRESETS[preset])
    for key in ("mean", "std"):
        _check(key, len(options[key]) == 3, "expected three numbers")
        if key in given:
            options[key] = [float(value) * (255 // unit) for value in options[key]]
    _check("std", 0.0 not in options["std"], "0 is no standard deviation")
    if "size" in options:
        options["size"] = [int(n) for n in options["size"]]
        _check("size", len(options["size"]) == 2 and min(options["size"]) > 0, "expected height,width")
    return options


def _check(key: str, holds: bool, problem: str) -> None:
    if not holds:
        raise ArgumentError(f"{key}: {problem}")


def load_image(path: str | os.PathLike[str], preprocessing: Mapping[str, Any]) -> NDArray[Any]:
    """One picture as float32, or uint8 pixels, [1, 3, height, width] ([1, height, width, 3] for layout NHWC)."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise UnsupportedError("reading pictures needs Pillow: pip install pillow") from None
    try:
        with open(path, "rb") as stream, Image.open(stream) as picture:
            pixels = _crop(picture.convert("RGB"), preprocessing, Image.Resampling.BICUBIC)
    except (UnidentifiedImageError, SyntaxError):
        raise ArgumentError(f"{path}: not a picture") from None
    except OSError as error:
        if error.filename:
            raise
        raise ArgumentError(f"{path}: the picture is damaged ({error})") from None
    return normalize(np.asarray(pixels), preprocessing)


def normalize(pixels: NDArray[np.uint8], preprocessing: Mapping[str, Any]) -> NDArray[np.float32]:
    """uint8 RGB [height, width, 3] as the model wants it."""
    options = {**DEFAULTS, **preprocessing}
    if options["channel_order"] == "BGR":
        pixels = pixels[..., ::-1]
    values = pixels if options["dtype"] == "uint8" else pixels_to_real(pixels, options["mean"], options["std"])
    if options["layout"] == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None])


def _crop(picture: Any, preprocessing: Mapping[str, Any], resampling: Any) -> Any:
    height, width = preprocessing["size"]
    crop = preprocessing.get("crop", DEFAULTS["crop"])
    scale = max(round(height / crop) / picture.height, round(width / crop) / picture.width)
    wide, high = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
    # rows, then columns: within one call the order, and with it the rounding, depends on Pillow's version
    picture = picture.resize((wide, picture.height), resampling).resize((wide, high), resampling)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))
