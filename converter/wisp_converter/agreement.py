"""How often a converted model and its source agree, over a folder of pictures."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .errors import InputError, SourceError
from .layers import check_source
from .progress import Progress
from .reference import Reference, references
from .runner import Runner, is_image, load_image
from .sources.onnx.load import Source


@dataclass
class _Noise:
    """Of one output, over all pictures."""

    error: float = 0.0
    signal: float = 0.0
    max_abs: float = 0.0

    def add(self, expected: np.ndarray, got: np.ndarray) -> float:
        """The SNR of one picture, in dB."""
        one = _Noise()
        one.error, one.signal = float(((expected - got) ** 2).sum()), float((expected ** 2).sum())
        self.error, self.signal = self.error + one.error, self.signal + one.signal
        self.max_abs = max(self.max_abs, float(np.abs(expected - got).max(initial=0.0)))
        return one.snr

    @property
    def snr(self) -> float:
        if self.error == 0:
            return math.inf
        return 10 * math.log10(self.signal / self.error) if self.signal and self.error < math.inf else -math.inf


def compare_pictures(source: Source, file: BinaryIO, folder: Path | str, *, labels: Path | str | None = None,
                     threads: int = 1, progress: Progress | None = None) -> dict:
    """Run both on every picture of a folder, prepared as the .wisp file says. Returns

    pictures, reference (what ran the source), outputs {name: {snr_db, max_abs}} over all pictures, worst (the picture
    of the lowest SNR); for a classifier agreement, the part of pictures for which both have the same best class; with
    `labels` (see read_labels) labelled, and of these the parts source_top1 and top1 whose best class is right.

    InputError where pictures, labels or preprocessing are missing or wrong; SourceError, UnsupportedError where one of
    the two cannot be run.
    """
    runner, folder = Runner(file, threads), Path(folder)
    if not runner.model.metadata.get("preprocessing") or len(runner.model.inputs) != 1:
        raise InputError("the file does not say how pictures become its input: convert it with "
                         "preprocess={'preset': 'imagenet'} or another")
    pictures = picture_files(folder)
    classes = _class_count(runner)
    right = read_labels(labels, runner.model.metadata.get("labels"), classes) if labels is not None else {}
    if labels is not None and classes is None:
        raise InputError(f"{labels}: labels are of no use to a model that has no output of one number for each class")
    if right and not right.keys() & {p.name for p in pictures}:
        raise InputError(f"{labels}: names none of the pictures in {folder}")
    reference = _first(source)
    name = runner.model.inputs[0].name
    preprocessing = runner.source_preprocessing(name)
    noise: dict[str, _Noise] = {}
    snrs: dict[str, float] = {}
    best: dict[str, tuple[int, int]] = {}
    check_source(source, {name: load_image(pictures[0], preprocessing)})
    for picture in (progress or Progress(False)).over("comparing", pictures, len(pictures), "picture"):
        expected, got = _run(reference, runner, {name: load_image(picture, preprocessing)})
        for output, array in expected.items():
            snr = noise.setdefault(output, _Noise()).add(array, got[output])
            snrs[picture.name] = min(snr, snrs.get(picture.name, math.inf))
        if classes is not None:
            output = next(iter(expected))
            best[picture.name] = int(expected[output].argmax()), int(got[output].argmax())
    report = {"pictures": len(pictures), "reference": reference.name, "worst": min(snrs, key=snrs.__getitem__),
              "outputs": {n: {"snr_db": d.snr, "max_abs": d.max_abs} for n, d in noise.items()}}
    return {**report, **_rates(best, right)}


def _rates(best: Mapping[str, tuple[int, int]], right: Mapping[str, int]) -> dict:
    rates: dict[str, float | int] = {}
    if best:
        rates["agreement"] = sum(a == b for a, b in best.values()) / len(best)
    known = [name for name in best if name in right]
    if known:
        rates["labelled"] = len(known)
        for i, key in enumerate(("source_top1", "top1")):
            rates[key] = sum(best[name][i] == right[name] for name in known) / len(known)
    return rates


def _first(source: Source) -> Reference:
    refusals = []
    for reference in references(source, {}):
        if isinstance(reference, Reference):
            return reference
        refusals.append(str(reference))
    raise SourceError(f"{source.name}: {'; '.join(refusals)}")


def _run(reference: Reference, runner: Runner, inputs: dict[str, np.ndarray]) -> tuple[dict, dict]:
    """Both outputs in f64, as the source has them."""
    stored = runner.from_source(inputs)
    expected = reference.run(runner.inputs_to_source(stored))
    got = runner.outputs_to_source(runner.run(stored))
    return tuple({n: outputs[n].astype(np.float64) for n in expected} for outputs in (expected, got))


def _class_count(runner: Runner) -> int | None:
    """How many numbers the only output has along its only axis that is not 1; None for another kind of model."""
    outputs = runner.model.outputs
    long = [d for d in outputs[0].shape if d != 1] if len(outputs) == 1 else []
    return long[0] if len(long) == 1 and isinstance(long[0], int) else None


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder by name. InputError if there are none."""
    try:
        found = sorted(p for p in folder.iterdir() if p.is_file() and is_image(p))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from error
    if not found:
        raise InputError(f"{folder}: no pictures in this folder")
    return found


def read_labels(path: Path | str, names: list[str] | None = None, classes: int | None = None) -> dict[str, int]:
    """{file name: class} from a text file with a line for each picture: its name, a tab or comma, the class as a number
    from 0 or as one of `names`, the labels of the model. InputError names the line that is none."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    numbers = {name: i for i, name in enumerate(names or ())}
    found: dict[str, int] = {}
    for i, line in enumerate(lines, 1):
        if not line.strip():
            continue
        picture, _, text = line.partition("\t" if "\t" in line else ",")
        picture, text = picture.strip(), text.strip()
        number = int(text) if text.isdecimal() else numbers.get(text)
        if number is None:
            raise InputError(f"{path}: line {i} is not a picture's name, a tab or comma, and a class: {line[:60]!r}")
        if classes is not None and number >= classes:
            raise InputError(f"{path}: line {i} names class {number}; the model has {classes}, from 0")
        found[picture] = number
    return found
