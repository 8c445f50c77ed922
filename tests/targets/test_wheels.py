"""The wheels of `make wheels`: what is in them, what their libraries ask of a system; and they run: ARM under qemu,
Windows under wine. WISP_WHEELS="NAME ..." in the environment: only these platforms."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from email.parser import Parser
from pathlib import Path

import libraries
import numpy as np
import pytest
from conftest import CBACKEND, ROOT

SYSTEM_LIBRARIES = {
    "manylinux": {"libc.so.6", "libm.so.6", "libpthread.so.0"},
    "linux": {"libc.so.6", "libm.so.6", "libpthread.so.0"},
    "musllinux": {"libc.so"},
    "macosx": {"/usr/lib/libSystem.B.dylib"},
    "win": {"KERNEL32.dll"},  # and the universal C runtime, api-ms-win-crt-*
}
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64", "armv7l": "arm",
            "armv6l": "arm"}
ALL = re.findall(r'^    Platform\("(\w+)"',
                 (ROOT / "engine" / "build_wheels.py").read_text(encoding="utf-8"), re.MULTILINE)
PLATFORMS = os.environ.get("WISP_WHEELS", "").split() or ALL
WINE = shutil.which("wine64") or shutil.which("wine64", path="/usr/lib/wine")


def call(*command, **options) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1800, **options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def build(root: Path, output: Path, *options: str) -> dict[str, Path]:
    """The wheels by platform; needs the compiler that `make wheels` installs."""
    pytest.importorskip("ziglang", reason="needs ziglang: run make wheels")
    log = call(sys.executable, root / "engine" / "build_wheels.py", "--output", output, *options)
    return {line.split()[0]: output / line.split()[-1] for line in log.splitlines() if line.endswith(".whl")}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Path]:
    built = build(ROOT, tmp_path_factory.mktemp("wheels"),
                  *(word for name in PLATFORMS for word in ("--platform", name)))
    assert ALL and sorted(built) == sorted(PLATFORMS)
    return built


def need(*platforms: str) -> None:
    missing = set(platforms) - set(PLATFORMS)
    if missing:
        pytest.skip(f"not in WISP_WHEELS: {', '.join(missing)}")


# ---- what is in them


@pytest.mark.parametrize("platform", PLATFORMS)
def test_contents(wheels, platform):
    archive = zipfile.ZipFile(wheels[platform])
    names = archive.namelist()
    assert wheels[platform].stat().st_size < 1_500_000
    assert len(names) == len(set(names)) and len({archive.getinfo(n).date_time for n in names}) == 1
    (info,) = {n.split("/")[0] for n in names if ".dist-info/" in n}
    rows = list(csv.reader(io.StringIO(archive.read(f"{info}/RECORD").decode())))
    assert sorted(r[0] for r in rows) == sorted(names)
    for name, digest, size in rows:
        data = archive.read(name)
        expected = "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        assert (digest, size) == (("", "") if name.endswith("/RECORD") else (expected, str(len(data)))), name

    wheel = Parser().parsestr(archive.read(f"{info}/WHEEL").decode())
    project, version, python, abi, tags = wheels[platform].name[: -len(".whl")].split("-")
    assert (wheel["Root-Is-Purelib"] == "false"
            and sorted(wheel.get_all("Tag")) == sorted(f"py3-none-{t}" for t in tags.split(".")))
    metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
    assert (metadata["Name"], metadata["Version"], metadata["Requires-Python"]) == ("wisp", version, ">=3.9")
    header = (CBACKEND / "include" / "wisp.h").read_text(encoding="utf-8")
    assert version == ".".join(re.findall(r"#define WISP_VERSION_\w+ (\d+)", header))
    entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert entry_points.split() == ["[console_scripts]", "wisp", "=", "wisp.cli:main"]
    for folder in (ROOT / "engine" / "wisp", ROOT / "converter" / "wisp_converter"):
        for path in folder.rglob("*.py"):
            assert archive.read(path.relative_to(folder.parent).as_posix()) == path.read_bytes()
    assert {"wisp/_wisp_cffi.py", "wisp/_wisp_lists.py", "wisp_converter/ops.def",
            "wisp_converter/layouts.def"} < set(names)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_library(wheels, platform):
    """For the tag's processor; asks for nothing newer than the tag says;
    offers the functions of wisp.h and no other."""
    archive = zipfile.ZipFile(wheels[platform])
    (name,) = [n for n in archive.namelist() if re.search(r"\.(so|dylib|dll|a|lib|pdb)$", n)]
    system, _, machine = platform.partition("_")
    assert name == "wisp/libwisp" + {"macosx": ".dylib", "win": ".dll"}.get(system, ".so")
    library = libraries.read(archive.read(name))
    assert library.machine == MACHINES[machine]
    assert {n for n in library.needs if not n.startswith("api-ms-win-crt-")} <= SYSTEM_LIBRARIES[system]
    header = (CBACKEND / "include" / "wisp.h").read_text(encoding="utf-8")
    declared = set(re.findall(r"^\w.*?\b(wisp_\w+)\(", header[header.index("cffi-begin") :], re.MULTILINE))
    linker = {"_mh_dylib_header", "__dso_handle"} if system == "macosx" else set()  # in every such file
    assert library.exports - linker == declared and len(declared) > 20
    oldest = [tuple(map(int, v)) for v in re.findall(r"(?:manylinux|macosx)_(\d+)_(\d+)_", wheels[platform].name)]
    assert max(library.versions, default=(0, 0)) <= min(oldest, default=(2, 17))
    assert library.signed or platform != "macosx_arm64"  # that system runs nothing unsigned


def test_same_bytes(wheels, tmp_path):
    """The same sources in another folder give the same wheel."""
    need("manylinux_aarch64")
    copy = tmp_path / "copy"
    for name in ("engine", "converter", "cbackend"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("CMakeLists.txt", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, copy / name)
    again = build(copy, tmp_path, "--platform", "manylinux_aarch64")["manylinux_aarch64"]
    assert (again.name == wheels["manylinux_aarch64"].name
            and again.read_bytes() == wheels["manylinux_aarch64"].read_bytes())


# ---- ARM


@pytest.fixture(scope="module")
def models(asset, tmp_path_factory) -> dict[str, tuple[Path, Path, dict[str, np.ndarray]]]:
    """{name: (int8 file, input file, outputs of portable C on this machine)}."""
    import wisp
    from wisp_converter import convert

    folder, rng, result = tmp_path_factory.mktemp("models"), np.random.default_rng(3), {}
    for name, high in (("mnist_cnn", 255), ("mobilenet_v2", 2)):
        source = str(asset(f"{name}.onnx"))
        first = wisp.load(convert(source, verify=False)).inputs[0]
        x = rng.uniform(-high, high, first.shape).astype(np.float32)
        (folder / f"{name}.wisp").write_bytes(convert(source, quantize="int8", calibration=[{first.name: x}],
                                                      verify=False))
        np.save(folder / f"{name}.npy", x)
        expected = wisp.load(folder / f"{name}.wisp", cpu="scalar").run(x)
        assert all(len(np.unique(y)) > 4 for y in expected.values())
        result[name] = folder / f"{name}.wisp", folder / f"{name}.npy", expected
    return result


def emulated_python(architecture: str, emulator: list[str], user: Path):
    """run(argument, ...) of a Debian python3 for another processor whose `pip install --user` goes to `user`."""
    import fetch

    if not shutil.which(emulator[0]):
        pytest.skip(f"needs {emulator[0]}")
    root = fetch.folder() / f"debian-{architecture}"
    if not (root / "usr" / "bin" / "python3").exists():
        done = subprocess.run(["bash", ROOT / "tests" / "targets" / "arm_root.sh", architecture, root],
                              capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs Debian's python3 for {architecture}: {done.stderr.strip()[-300:]}")
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("PYTHON", "PIP_", "WISP_"))}
    environment.update(PYTHONUSERBASE=str(user), PIP_NO_INDEX="1", PIP_BREAK_SYSTEM_PACKAGES="1",
                       PIP_ROOT_USER_ACTION="ignore")
    return lambda *arguments: call(*emulator, "-L", root, root / "usr" / "bin" / "python3", *arguments, env=environment)


@pytest.mark.parametrize("platform, architecture, emulator, cpu, kernel", [
    ("manylinux_aarch64", "arm64", "qemu-aarch64", "cortex-a53", "gemm_s8_neon"),
    ("manylinux_aarch64", "arm64", "qemu-aarch64", "cortex-a76", "gemm_s8_dotprod"),
    ("manylinux_armv7l", "armhf", "qemu-arm", "cortex-a7", "gemm_s8_neon"),
])
def test_arm(wheels, models, tmp_path, platform, architecture, emulator, cpu, kernel):
    """pip takes the wheel, needs no compiler and no network; the command runs int8 models to the same bits."""
    need(platform)
    python = emulated_python(architecture, [emulator, "-cpu", cpu], tmp_path / "user")
    python("-m", "pip", "--version")  # compiles pip once, so that what follows is the installation alone
    started = time.monotonic()
    python("-m", "pip", "install", "--user", "--only-binary", ":all:", "--no-warn-script-location", wheels[platform])
    installed = time.monotonic() - started
    print(f"\n{platform}, {cpu}: installed in {installed:.0f} s (emulated)")
    assert installed < 300
    command = tmp_path / "user" / "bin" / "wisp"
    for name, (file, x, expected) in models.items():
        for threads in (1, 2):
            python(command, "run", file, "--input", x, "--threads", threads, "--output", tmp_path / "y.npz")
            with np.load(tmp_path / "y.npz") as got:
                assert set(got) == set(expected) and all(got[n].tobytes() == y.tobytes() for n, y in expected.items())
        report = json.loads(python(command, "bench", file, "--runs", 1, "--json"))
        kernels = {node["kernel"] for node in report["nodes"]}
        print(f"{platform}, {cpu}: {name} equals portable C on this machine; kernels {', '.join(sorted(kernels))}")
        assert kernel in kernels


# ---- Windows


def test_windows(wheels, models, native_build, tmp_path):
    """A C program finds the wheel's DLL and its threads under wine: the fingerprints are those of this machine."""
    need("win_amd64")
    if not WINE:
        pytest.skip("needs wine64")
    sources = ROOT / "tests" / "targets"
    zipfile.ZipFile(wheels["win_amd64"]).extract("wisp/libwisp.dll", tmp_path)
    call(sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-windows-gnu", "-O2", "-I",
         CBACKEND / "include", sources / "main.c", sources / "digest.c", tmp_path / "wisp" / "libwisp.dll", "-o",
         tmp_path / "wisp" / "digest.exe")
    environment = {**os.environ, "WINEPREFIX": str(tmp_path / "wine"), "WINEDEBUG": "-all"}
    for file, _, _ in models.values():
        expected = call(native_build / "digest", file, 1, 1, "scalar").split()[0]
        for threads in (1, 3):
            assert call(WINE, tmp_path / "wisp" / "digest.exe", file, 1, threads,
                        env=environment).split()[0] == expected
