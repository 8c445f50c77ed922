"""One file, every target, the same bits: int8 outputs across instruction sets and thread counts.
Other processors: tests/targets/run.py."""
# SPDX-License-Identifier: Apache-2.0
import functools
import subprocess

import numpy as np
import pytest
import wisp
from wisp import _library
from wisp._library import lib

THREADS = (1, 2, 3)
RANGES = {"mnist_cnn": (0, 255), "mobilenet_v2": (-2, 2), "yunet": (0, 255)}  # of the inputs


def machine_sets() -> list[str]:
    flags = lib.wisp_cpu_flags()
    return [name for bit, name in enumerate(_library.instruction_sets()) if flags >> bit & 1]


@pytest.fixture(scope="module")
def quantized(small_files, asset):
    """quantized("yunet"): the int8 file and an input, made once."""

    @functools.cache
    def make(name: str) -> tuple[bytes, dict[str, np.ndarray]]:
        from wisp_converter import convert

        rng = np.random.default_rng(5)
        if name == "small":
            return small_files["int8"], {"x": rng.standard_normal((1, 3, 8, 8)).astype(np.float32)}
        path, low, high = str(asset(f"{name}.onnx")), *RANGES[name]
        first = wisp.load(convert(path, verify=False)).inputs[0]
        samples = [{first.name: rng.uniform(low, high, first.shape).astype(np.float32)} for _ in range(2)]
        return convert(path, quantize="int8", calibration=samples, verify=False), samples[0]

    return make


NETWORKS = ["mnist_cnn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mobilenet_v2", "yunet"))]


def as_bytes(outputs: dict[str, np.ndarray]) -> bytes:
    return b"".join(a.tobytes() for a in outputs.values())


@pytest.mark.parametrize("name", ["small", *NETWORKS])
@pytest.mark.parametrize("cpu", machine_sets())
def test_instruction_sets_and_threads(quantized, name, cpu):
    data, inputs = quantized(name)
    expected = as_bytes(wisp.load(data, cpu="scalar").run(inputs))
    assert len(set(expected)) > 4, "an output without variety proves nothing"
    for threads in THREADS:
        assert as_bytes(wisp.load(data, threads=threads, cpu=cpu).run(inputs)) == expected, f"{cpu}, {threads} threads"


@pytest.mark.parametrize("name", NETWORKS)
def test_float_does_not_depend_on_threads(asset, quantized, name):
    from wisp_converter import convert

    data, inputs = convert(str(asset(f"{name}.onnx")), verify=False), quantized(name)[1]
    expected = as_bytes(wisp.load(data).run(inputs))
    for threads in THREADS:
        assert as_bytes(wisp.load(data, threads=threads).run(inputs)) == expected


def test_checkasm(native_build):
    """Every kernel of this machine against its scalar form, bit for bit, between guard pages."""
    result = subprocess.run([native_build / "checkasm"], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
