"""The microcontroller example: an int8 network out of flash, with a static arena and only the operators it uses."""
# SPDX-License-Identifier: Apache-2.0
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import wisp
from conftest import CBACKEND
from wisp import file
from wisp._wisp_lists import OPERATORS

EXAMPLE = CBACKEND / "examples" / "microcontroller"


def make(*arguments) -> str:
    command = ["make", "-s", "-C", EXAMPLE, f"PYTHON={sys.executable}", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def model(asset, tmp_path_factory):
    """mnist_cnn in int8."""
    from wisp_converter import convert

    rng = np.random.default_rng(4)
    samples = [{"Input3": rng.uniform(0, 255, (1, 1, 28, 28)).astype(np.float32)} for _ in range(4)]
    path = tmp_path_factory.mktemp("cortex_m") / "mnist.wisp"
    path.write_bytes(convert(str(asset("mnist_cnn.onnx")), quantize="int8", calibration=samples, verify=False))
    return path


@pytest.mark.parametrize("board", ["m4", "m55"])
def test_example(model, board, tmp_path):
    missing = [t for t in ("clang-19", "ld.lld-19", "arm-none-eabi-gcc", "llvm-nm-19", "qemu-system-arm", "ninja")
               if not shutil.which(t)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    settings = (f"MODEL={model}", f"BOARD={board}", f"BUILD={tmp_path}")
    wave = (np.arange(28 * 28) // 7 * 5 & 255).astype(np.float32).reshape(1, 1, 28, 28)  # what main.c calls a sensor
    best = int(next(iter(wisp.load(model).run(wave).values())).argmax())
    assert make("run", *settings).splitlines()[-1] == f"class {best}"

    symbols = subprocess.run(["llvm-nm-19", tmp_path / "image.elf"], capture_output=True, text=True, check=True).stdout
    used = {OPERATORS[op.code] for op in file.read(model).operators}
    assert set(re.findall(r"wisp_op_(\w+)", symbols)) == used
    assert not re.findall(r"\b(malloc|free|printf|expf|logf|powf|__aeabi_[fd]\w+|wisp_gemm_f32_\w+)$",
                          symbols, re.MULTILINE)
