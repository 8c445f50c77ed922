"""The command that compares every target: it passes here, and a wrong rounding makes it fail."""
# SPDX-License-Identifier: Apache-2.0
import platform
import subprocess
import sys

import pytest
from conftest import ROOT

SMALL = ("--network", "mnist_cnn", "--network", "audio_1d")


def table(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / "tests" / "targets" / "run.py", *arguments], capture_output=True,
                          text=True, timeout=900)


def test_right_rounding_passes():
    result = table(platform.machine(), *SMALL)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 failed" in result.stdout and "BAD" not in result.stdout


@pytest.mark.skipif(platform.machine() != "x86_64", reason="changes the AVX2 kernels")
def test_wrong_rounding_fails():
    result = table("--wrong-rounding", *SMALL)
    assert result.returncode == 1, result.stdout + result.stderr
    rows = [line for line in result.stdout.splitlines() if line.startswith("wrong rounding")]
    assert any("checkasm" not in row and "BAD" in row for row in rows), result.stdout
    assert any("FAILED avx2" in line for line in result.stdout.splitlines()), "checkasm sees it too"
