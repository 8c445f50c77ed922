"""Top-1 of image classifiers on a folder of labelled photos: NNNN.jpg, the number being the class.

    python benchmarks/accuracy.py PHOTOS MODEL.wisp [MODEL.wisp ...] [--limit N] [--threads N] [--json]

A model's own metadata say how a photo becomes its input (`wisp convert --size --mean --std` writes them).
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np
import wisp
from tqdm import tqdm
from wisp.image import load_image


def top1(photos: list[pathlib.Path], models: dict[str, wisp.Model]) -> dict[str, float]:
    """Percentage of photos whose largest output is the class their file name states, for every model."""
    right = dict.fromkeys(models, 0)
    for photo in tqdm(photos, unit="photo", disable=None):
        for name, model in models.items():
            x = load_image(photo, model.metadata["preprocessing"])
            (output,) = model.run({model.inputs[0].name: x}).values()
            right[name] += int(np.argmax(output)) == int(photo.stem)
    return {name: 100 * n / len(photos) for name, n in right.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=pathlib.Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--limit", type=int, help="use every k-th photo, so that at most this many are used")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    photos = sorted(arguments.photos.glob("*.jpg"))
    if arguments.limit:
        photos = photos[:: -(-len(photos) // arguments.limit)]
    result = top1(photos, {m: wisp.load(m, threads=arguments.threads) for m in arguments.models})
    if arguments.json:
        print(json.dumps({"photos": len(photos), "top1": result}))
        return
    for name, percent in result.items():
        print(f"{percent:6.2f} %  {name}  ({len(photos)} photos)")


if __name__ == "__main__":
    main()
