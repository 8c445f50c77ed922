"""The thread pool by itself, in a C program of many jobs: plain, with workers that spin for ever, and under TSan."""
# SPDX-License-Identifier: Apache-2.0
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import CBACKEND

IDLE = 200  # milliseconds without a run


def build(folder: Path, compiler: str, *options: str) -> Path:
    program = folder / "threads"
    command = [compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", *options, "-pthread", "-DWISP_HAVE_THREADS=1",
               f"-I{CBACKEND}/include", f"-I{CBACKEND}/src", CBACKEND / "src" / "threads.c",
               Path(__file__).with_name("threads.c"), "-o", program]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return program


def run(program: Path, threads: int, runs: int) -> float:
    """Returns the seconds of all cores together that an idle pool took."""
    result = subprocess.run([program, str(threads), str(runs), str(IDLE)], capture_output=True, text=True, timeout=250)
    assert result.returncode == 0, result.stdout + result.stderr[-6000:]
    return float(result.stdout.split()[1])


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_every_item_once(tmp_path, threads):
    assert run(build(tmp_path, "gcc", "-O2"), threads, 1000) < 0.02


def test_leaving_puts_spinners_to_sleep(tmp_path):
    """Workers that would spin for minutes: only the end of the run can stop them."""
    assert run(build(tmp_path, "gcc", "-O2", "-DWISP_POOL_SPIN=2000000000"), 3, 20) < 0.02


@pytest.mark.parametrize("threads", [2, 5])
def test_no_data_race(tmp_path, threads):
    """The ticket, the chunk counter and the hand-over between callers in the C11 memory model,
    as ThreadSanitizer sees it."""
    compiler = shutil.which("clang-19") or "gcc"
    run(build(tmp_path, compiler, "-O1", "-g", "-fsanitize=thread"), threads, 400)
