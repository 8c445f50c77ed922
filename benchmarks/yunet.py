"""YuNet, a face detector (Wu, Peng, Yu 2023): what goes in, and how its twelve outputs become faces."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIZE = 640
STRIDES = (8, 16, 32)
PREPROCESSING = {"size": [SIZE, SIZE], "channel_order": "BGR", "layout": "NCHW"}  # pixel values as they are, 0..255


@dataclass
class Face:
    """Pixels of the 640x640 input. `points`: eyes, nose, corners of the mouth, as x, y."""

    score: float
    box: tuple[float, float, float, float]  # left, top, right, bottom
    points: np.ndarray  # [5, 2]


def decode(outputs: dict[str, np.ndarray], threshold: float = 0.6, overlap: float = 0.3) -> list[Face]:
    """Faces, best first. A cell at (row, column) of stride s proposes a box around (column + dx, row + dy) * s with
    sides exp(dw) * s and exp(dh) * s; its score is sqrt(cls * obj)."""
    faces = []
    for s in STRIDES:
        score = np.sqrt(np.clip(outputs[f"cls_{s}"], 0, 1) * np.clip(outputs[f"obj_{s}"], 0, 1)).ravel()
        for cell in np.flatnonzero(score > threshold):
            row, column = divmod(int(cell), SIZE // s)
            dx, dy, dw, dh = outputs[f"bbox_{s}"].reshape(-1, 4)[cell].astype(float)
            x, y, w, h = (column + dx) * s, (row + dy) * s, np.exp(dw) * s, np.exp(dh) * s
            points = (outputs[f"kps_{s}"].reshape(-1, 5, 2)[cell] + (column, row)) * s
            faces.append(Face(float(score[cell]), (x - w / 2, y - h / 2, x + w / 2, y + h / 2), points))
    return _suppress(sorted(faces, key=lambda f: -f.score), overlap)


def _suppress(faces: list[Face], overlap: float) -> list[Face]:
    """Greedy non-maximum suppression."""
    kept: list[Face] = []
    for face in faces:
        if all(intersection_over_union(face.box, k.box) <= overlap for k in kept):
            kept.append(face)
    return kept


def intersection_over_union(a: tuple, b: tuple) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (area - width * height)
