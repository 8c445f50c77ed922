"""Pictures as model inputs, by the preprocessing that the converter wrote into the file. Needs Pillow.

    {"size": [height, width], "crop": 0.875, "channel_order": "RGB", "mean": [..3], "std": [..3], "layout": "NCHW"}

The picture is scaled (bicubic) so that its short side is the model's divided by `crop`, its centre is cut out, and
each value becomes (pixel - mean) / std, pixels in 0..255 and mean and std in the same unit.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os

import numpy as np

from .errors import ArgumentError, UnsupportedError
from .interface import pixels_to_real

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")
DEFAULTS = {"crop": 1.0, "channel_order": "RGB", "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "layout": "NCHW"}


def is_image(path: str | os.PathLike) -> bool:
    return os.fspath(path).lower().endswith(SUFFIXES)


def load_image(path: str | os.PathLike, preprocessing: dict) -> np.ndarray:
    """One picture as float32 [1, 3, height, width] ([1, height, width, 3] for layout NHWC)."""
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


def normalize(pixels: np.ndarray, preprocessing: dict) -> np.ndarray:
    """uint8 RGB [height, width, 3] as the model wants it."""
    options = {**DEFAULTS, **preprocessing}
    if options["channel_order"] == "BGR":
        pixels = pixels[..., ::-1]
    values = pixels_to_real(pixels, options["mean"], options["std"])
    if options["layout"] == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None])


def _crop(picture, preprocessing: dict, resampling):
    height, width = preprocessing["size"]
    crop = preprocessing.get("crop", DEFAULTS["crop"])
    scale = max(round(height / crop) / picture.height, round(width / crop) / picture.width)
    wide, high = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
    # rows, then columns: within one call the order, and with it the rounding, depends on Pillow's version
    picture = picture.resize((wide, picture.height), resampling).resize((wide, high), resampling)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))
