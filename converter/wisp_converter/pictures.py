"""How pictures become a model's input: what was left out, and what is most likely a mistake."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from .errors import InputError
from .ir import Value
from .runner import complete_preprocessing


def complete(preprocess: dict | None, inputs: list[Value]) -> dict | None:
    """All of it stated; size and layout from the model's picture. None if nothing was given. InputError."""
    if not preprocess:
        return None
    shape = next((v.shape for v in inputs if len(v.shape) == 4 and 3 in (v.shape[1], v.shape[3])), (None,) * 4)
    is_nhwc = preprocess.get("layout", "NCHW" if shape[1] == 3 or shape[3] != 3 else "NHWC") == "NHWC"
    try:
        options = complete_preprocessing({**preprocess, "layout": "NHWC" if is_nhwc else "NCHW"})
    except (ValueError, TypeError) as error:
        raise InputError(f"preprocess: {error}") from error
    if "size" not in options:
        options["size"] = list(shape[1:3] if is_nhwc else shape[2:4])
        if not all(isinstance(n, int) for n in options["size"]):
            raise InputError("the model's input does not state height and width of pictures: give "
                             "preprocess={'size': [height, width]}")
    return options


def doubts(preprocess: dict | None, has_pictures: bool) -> list[str]:
    """Warnings on what was given, before it was completed: each says what to write instead."""
    given = preprocess or {}
    if has_pictures and not {"mean", "std", "preset"} & set(given):
        return ["warning: pictures are fed as numbers of 0..255, because neither mean nor std is given; most models "
                "want preprocess={'preset': 'imagenet'}, 0..1 or -1..1; preprocess={'preset': 'bytes'} says that this "
                "is right"]
    if given.get("unit", 255) == 255:
        mean, std = ([abs(float(v)) for v in given.get(key, ())] for key in ("mean", "std"))
        if any(v < 1 for v in std) or (any(mean) and max(mean) <= 1):
            numbers = "std" if any(v < 1 for v in std) else "mean"
            return [f"warning: {numbers} {','.join(f'{v:g}' for v in given[numbers])} is for pixels of 0..1, but "
                    "pixels are 0..255: add preprocess={'unit': 1}"]
    return []


def doubt_labels(labels, outputs: list[Value]) -> list[str]:
    """A warning if a classifier has another number of classes than there are labels."""
    if not isinstance(labels, (list, tuple)) or len(outputs) != 1:
        return []
    shape = outputs[0].shape
    long = [d for d in shape if d != 1]
    if len(long) != 1 or not isinstance(long[0], int) or long[0] == len(labels):
        return []
    return [f"warning: {len(labels)} labels, but the output {outputs[0].name!r} has {long[0]} numbers; wisp run will "
            "print no classes"]
