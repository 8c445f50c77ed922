"""Hexagon under qemu-hexagon: fingerprints, the freestanding library, the remote-call front in one process.
Kernels: run.py, counts.py."""
# SPDX-License-Identifier: Apache-2.0
import shutil
import subprocess

import pytest
from conftest import CBACKEND, ROOT, cmake_build

HEXAGON = ROOT / "tests" / "targets" / "hexagon"


def run(*command, status: int = 0) -> str:
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    assert result.returncode == status, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def hexagon_build(tmp_path_factory):
    for program in ("clang-19", "qemu-hexagon"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}")
    build = tmp_path_factory.mktemp("hexagon")
    cmake_build(CBACKEND, build, "-DCMAKE_TOOLCHAIN_FILE=cmake/hexagon.cmake", "-DWISP_WERROR=ON",
                "-DWISP_BUILD_TESTS=ON")
    return build


@pytest.mark.parametrize("kind", ["int8", "float"])
def test_fingerprints(hexagon_build, native_build, small_files, tmp_path, kind):
    """The DSP's kernels, its scalar ones and this machine's scalar ones agree; for float, the scalar ones do."""
    path = tmp_path / f"{kind}.wisp"
    path.write_bytes(small_files[kind])
    expected, memory = run(native_build / "digest", path, 1, 1, "scalar").split()
    for isa in ("scalar", "hvx"):
        digest, needed = run("qemu-hexagon", hexagon_build / "digest", path, 1, 1, isa).split()
        assert digest == expected and int(needed) <= int(memory), "32-bit sessions need no more than 64-bit ones"


def test_functions(hexagon_build, tmp_path):
    """The hand-made library computes on the DSP what it computes here,
    where test_freestanding.py compares it with numpy's."""
    if not shutil.which("cc"):
        pytest.skip("needs cc")
    library = CBACKEND / "freestanding"
    flags = ["-std=c11", "-O2", "-ffp-contract=off", "-fno-builtin", "-isystem", library / "include"]
    run("cc", *flags, HEXAGON / "functions.c", *library.glob("*.c"), "-o", tmp_path / "functions")
    there = run("qemu-hexagon", hexagon_build / "freestanding" / "functions")
    assert there.splitlines() == run(tmp_path / "functions").splitlines()


@pytest.fixture(scope="module")
def loopback(native_build, tmp_path_factory):
    """Both sides of the remote-call front, over stand-ins for the SDK's headers and libraries;
    no transport in between."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        pytest.skip("needs a C compiler")
    program = tmp_path_factory.mktemp("loopback") / "loopback"
    folder = CBACKEND / "hexagon"
    flags = ["-std=c11", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", HEXAGON / "sdk", "-I",
             CBACKEND / "include", "-I", folder]
    sources = [HEXAGON / "loopback.c", folder / "wisp_dsp.c", folder / "wisp_remote_dsp.c"]
    run(compiler, *flags, *sources, native_build / "libwisp.a", "-lm", "-lpthread", "-o", program)
    return program


@pytest.mark.parametrize("kind", ["int8", "float", "dynamic"])
def test_remote_front(loopback, small_files, tmp_path, kind):
    path = tmp_path / f"{kind}.wisp"
    path.write_bytes(small_files[kind])
    assert run(loopback, path) == "equal, 2 runs in 2 calls\n"
