"""make demo: a face detector from ONNX to int8, on a photo. usage: demo.py [OUTPUT_FOLDER]

Fetches the model and a photo into the folder, converts to float and to int8 (calibrated on crops, flips and exposures
of the photo), finds the face with both, writes a picture with the box, and prints what it measured.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import statistics
import sys
import time
from pathlib import Path

import fetch
import numpy as np
import wisp
import yunet
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from tqdm import tqdm
from wisp.image import load_image
from wisp_converter import convert, save

SAMPLES = 24
SECONDS = 3.0  # of timing for each model


def write_variations(photo: Image.Image, folder: Path) -> None:
    """Calibration pictures: the photo cut, mirrored, and lit differently, all 640x640."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in tqdm(range(SAMPLES), desc="Writing calibration pictures", leave=False, disable=None):
        side = int(rng.integers(photo.width // 2, photo.width + 1))
        left, top = (int(rng.integers(0, n - side + 1)) for n in photo.size)
        picture = photo.crop((left, top, left + side, top + side)).resize((yunet.SIZE, yunet.SIZE))
        if rng.random() < 0.5:
            picture = ImageOps.mirror(picture)
        ImageEnhance.Brightness(picture).enhance(rng.uniform(0.6, 1.3)).save(folder / f"{i:02}.jpg", quality=95)


def latency_ms(model: wisp.Model, x: np.ndarray, label: str) -> float:
    """Median of the runs that fit into SECONDS, after three for warming up."""
    for _ in range(3):
        model.run(x)
    times, start = [], time.perf_counter()
    with tqdm(total=round(SECONDS, 1), desc=f"Timing {label}", unit="s", leave=False, disable=None,
              bar_format="{l_bar}{bar}|") as bar:
        while (now := time.perf_counter()) - start < SECONDS:
            model.run(x)
            times.append(time.perf_counter() - now)
            bar.update(min(times[-1], bar.total - bar.n))
    return statistics.median(times) * 1e3


def draw(photo: Image.Image, faces: list[yunet.Face], path: Path) -> None:
    picture = photo.resize((yunet.SIZE, yunet.SIZE))
    pen = ImageDraw.Draw(picture)
    for face in faces:
        pen.rectangle(face.box, outline=(0, 255, 0), width=3)
        pen.text((face.box[0], face.box[1] - 14), f"{face.score:.2f}", fill=(0, 255, 0))
        for x, y in face.points:
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=(255, 0, 0))
    picture.save(path)


def signal_to_noise_db(reference: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Over all outputs together."""
    signal = sum(float(np.square(reference[n], dtype=np.float64).sum()) for n in reference)
    noise = sum(float(np.square(np.subtract(reference[n], other[n], dtype=np.float64)).sum()) for n in reference)
    return 10 * float(np.log10(signal / noise)) if noise else float("inf")


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    print("Fetching a face detector (YuNet) and a photo ...", flush=True)
    try:
        source, photo_path = fetch.fetch("yunet.onnx"), fetch.fetch("astronaut.png")
    except fetch.FetchError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    for path in (source, photo_path):
        shutil.copy(path, folder)
    photo = Image.open(photo_path).convert("RGB")
    x = load_image(photo_path, yunet.PREPROCESSING)
    write_variations(photo, folder / "calibration")
    int8 = {"quantize": "int8", "calibration": folder / "calibration", "preprocess": yunet.PREPROCESSING}
    results = {}
    for kind, options in (("float", {}), ("int8", int8)):
        print(f"Converting to {kind} ...", flush=True)
        path = folder / f"yunet_{kind}.wisp"
        save(convert(source, metadata={"preprocessing": yunet.PREPROCESSING}, **options), path)
        with wisp.load(path) as model:
            outputs = model.run(x)
            results[kind] = (path.stat().st_size, model.session_bytes + model.arena_bytes,
                             latency_ms(model, x, kind), outputs)
    faces = {kind: yunet.decode(result[3]) for kind, result in results.items()}
    picture = folder / "faces.png"
    draw(photo, faces["int8"], picture)

    print(f"\n{'':8}{'file':>12}{'memory':>14}{'latency':>12}   faces")
    for kind, (size, memory, latency, _) in results.items():
        found = ", ".join(f"score {f.score:.3f} at {', '.join(f'{v:.0f}' for v in f.box)}" for f in faces[kind])
        print(f"{kind:8}{size:>10,} B{memory:>12,} B{latency:>9.2f} ms   {found or 'none'}")
    print(f"\nfloat - int8: signal-to-noise ratio {signal_to_noise_db(results['float'][3], results['int8'][3]):.1f} dB "
          "over all outputs"
          + (f", boxes overlap by {yunet.intersection_over_union(faces['float'][0].box, faces['int8'][0].box):.3f}"
             if faces["float"] and faces["int8"] else ""))
    print(f"memory = session + arena, 1 thread; picture: {picture}")
    return 0 if faces["int8"] else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/demo")))
