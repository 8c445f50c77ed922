"""Calibration data in any accepted form, as a stream of {input name: array} that fit the model."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from .errors import CalibrationError, InputError
from .ir import Value
from .runner import is_image, load_image

ARRAYS = (".npy", ".npz")
FEW = 10  # samples, below which chance decides over ranges


def count_samples(calibration) -> int | None:
    """How many samples (files, for a folder) there will be, where that is cheap to tell; for the progress bar."""
    if isinstance(calibration, (str, os.PathLike)) and os.path.isdir(calibration):
        return len(_files(Path(calibration)))
    return len(calibration) if hasattr(calibration, "__len__") and not isinstance(calibration, (Mapping, str)) else None


def samples(calibration, inputs: list[Value], preprocess: dict | None = None) -> Iterator[dict[str, np.ndarray]]:
    """Checked samples from: an iterable of {name: array} (or of arrays, for a model with one input), one such dict or
    array with samples along the first axis, an .npy or .npz file of those, a folder of such files or of pictures.

    Each array has the input's shape, without NaN or infinity; otherwise CalibrationError says which one has not.
    """
    if calibration is None:
        raise CalibrationError("int8 needs calibration data: give arrays that stand for what the model will see")
    count = 0
    for where, raw in _raw(calibration, inputs, preprocess):
        for sample in _split(where, named(where, raw, inputs), inputs):
            count += 1
            yield sample
    if count == 0:
        raise CalibrationError("the calibration data are empty")


def _raw(calibration, inputs: list[Value], preprocess: dict | None) -> Iterator[tuple[str, object]]:
    if isinstance(calibration, (str, os.PathLike)):
        path = Path(calibration)
        files = _files(path) if path.is_dir() else [path]
        if not files:
            inner = f"; its {_count(_folders(path), 'subfolder')} are not searched" if _folders(path) else ""
            raise CalibrationError(f"{path}: no pictures, .npy or .npz files in this folder{inner}")
        for file in files:
            yield str(file), _read(file, inputs, preprocess)
    elif isinstance(calibration, (Mapping, np.ndarray)):
        yield "calibration data", calibration
    else:
        try:
            stream = enumerate(calibration)
        except TypeError:
            raise CalibrationError(f"calibration data cannot be a {type(calibration).__name__}") from None
        for i, sample in stream:
            yield f"calibration sample {i}", sample


def has_pictures(calibration) -> bool:
    """Whether the calibration data are a picture, or a folder of some."""
    if not isinstance(calibration, (str, os.PathLike)):
        return False
    path = Path(calibration)
    return any(map(is_image, _files(path) if path.is_dir() else [path]))


def skipped(calibration) -> list[str]:
    """What a folder holds that is not used, if anything, as a warning."""
    if not isinstance(calibration, (str, os.PathLike)) or not os.path.isdir(calibration):
        return []
    folder = Path(calibration)
    used = len(_files(folder))
    others = sum(p.is_file() for p in folder.iterdir()) - used
    parts = [_count(n, what) for n, what in ((_folders(folder), "subfolder"), (others, "other file")) if n]
    return [f"warning: {folder}: {_count(used, 'file')} used, {' and '.join(parts)} skipped"] * bool(parts)


def doubting(stream: Iterable[dict[str, np.ndarray]], say: Callable[[str], None]) -> Iterator[dict[str, np.ndarray]]:
    """The samples; behind the last one, warnings if they were few, or the same ones again."""
    seen, count = set(), 0
    for sample in stream:
        count += 1
        digest = hashlib.sha256()
        for name in sorted(sample):
            digest.update(np.ascontiguousarray(sample[name]))
        seen.add(digest.digest())
        yield sample
    if count < FEW:
        say(f"warning: ranges come from only {_count(count, 'sample')}; a hundred that differ are better")
    if len(seen) < count:
        say(f"warning: {_count(count - len(seen), 'sample')} of {count} are the same as others")


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _folders(folder: Path) -> int:
    return sum(p.is_dir() for p in folder.iterdir())


def _files(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if p.is_file())
    pictures = [p for p in files if is_image(p)]
    return pictures or [p for p in files if p.suffix.lower() in ARRAYS]


def _read(path: Path, inputs: list[Value], preprocess: dict | None):
    try:
        if is_image(path):
            return load_image(path, _preprocessing(inputs, preprocess))
        loaded = np.load(path, allow_pickle=False)
        return dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else loaded
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CalibrationError(f"{path}: {str(error).splitlines()[0]}") from error


def _preprocessing(inputs: list[Value], preprocess: dict | None) -> dict:
    """What is known about pictures; their size comes from the input's shape if nobody states it."""
    options = dict(preprocess or {})
    shape = inputs[0].shape if len(inputs) == 1 else ()
    if "size" not in options:
        axes = shape[1:3] if options.get("layout") == "NHWC" else shape[2:4]
        if len(shape) != 4 or not all(isinstance(d, int) for d in axes):
            raise CalibrationError("pictures need a model with one image input, "
                                   "and preprocess={'size': [height, width]}")
        options["size"] = list(axes)
    return options


def named(where: str, raw, inputs: list[Value], error: type[InputError] = CalibrationError) -> dict[str, np.ndarray]:
    names = [v.name for v in inputs]
    if not isinstance(raw, Mapping):
        if len(names) != 1:
            raise error(f"{where}: the model has {len(names)} inputs; "
                                   f"give a dict with {', '.join(map(repr, names))}")
        raw = {names[0]: raw}
    wrong = sorted(set(raw) ^ set(names), key=str)
    if wrong:
        problem = "is missing" if wrong[0] in names else "is no input of the model"
        raise error(f"{where}: {wrong[0]!r} {problem}; expected {', '.join(map(repr, names))}")
    return {name: np.asarray(raw[name]) for name in names}


def _split(where: str, arrays: dict[str, np.ndarray], inputs: list[Value]) -> Iterator[dict[str, np.ndarray]]:
    """One sample, or several along the first axis of every array."""
    for value in inputs:
        arrays[value.name] = cast(where, value, arrays[value.name])
    if all(fits(arrays[v.name].shape, v.shape) for v in inputs):
        yield arrays
        return
    counts = {len(a) if a.ndim else -1 for a in arrays.values()}
    count = counts.pop() if len(counts) == 1 else -1
    for i in range(max(count, 0)):
        parts = {}
        for value in inputs:
            array = arrays[value.name]
            parts[value.name] = array[i] if array.ndim > len(value.shape) else array[i:i + 1]
            if not fits(parts[value.name].shape, value.shape):
                raise CalibrationError(_misfit(where, value, array))
        yield parts
    if count < 0:
        value = next(v for v in inputs if not fits(arrays[v.name].shape, v.shape))
        raise CalibrationError(_misfit(where, value, arrays[value.name]))


def _misfit(where: str, value: Value, array: np.ndarray) -> str:
    return (f"{where}: {value.name!r} has shape {tuple(array.shape)}, "
            f"expected {value.shape} (or that with samples along the first axis)")


def cast(where: str, value: Value, array: np.ndarray, error: type[InputError] = CalibrationError) -> np.ndarray:
    if array.dtype != value.dtype:
        if array.dtype.kind not in "fiub" or (array.dtype.kind == "f" and value.dtype.kind != "f"):
            raise error(f"{where}: {value.name!r} holds {array.dtype}, expected {value.dtype}")
        array = array.astype(value.dtype)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise error(f"{where}: {value.name!r} holds NaN or infinity")
    return array


def fits(shape: tuple[int, ...], expected) -> bool:
    return len(shape) == len(expected) and all(not isinstance(e, int) or e == s for s, e in zip(shape, expected))
