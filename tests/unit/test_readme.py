"""Every command and program in README.md, run in its order; nothing there is claimed that was not done."""
# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CBACKEND, ROOT, emulate

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
BIN = str(Path(sys.executable).parent)


def commands(part: str) -> list[str]:
    """The shell lines of the README between this heading and the next."""
    text = README[README.index(part) + len(part) :]
    text = text[: text.index("\n## ")]
    return [line for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
            for line in block.splitlines()]


def shell(command: str, folder: Path, seconds: int = 300, **environment: str) -> str:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **environment}
    result = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=seconds,
                            env=environment)
    assert result.returncode == 0, f"$ {command}\n{result.stdout[-3000:]}{result.stderr[-3000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A copy of the repository, as far as the README's commands go, in a folder that is elsewhere."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("benchmarks", "cbackend", "converter", "engine"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE", "Makefile"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def demo(home, asset) -> Path:
    """The folder that `make demo` fills, and what it printed in printed.txt."""
    asset("yunet.onnx"), asset("astronaut.png")
    printed = shell(f"{sys.executable} benchmarks/demo.py", home)
    (home / "build" / "demo" / "printed.txt").write_text(printed)
    return home / "build" / "demo"


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """No command leaves anything in the repository."""
    def status() -> str:
        return subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout

    before = status()
    yield
    assert status() == before


def test_there_is_nothing_untested():
    assert {kind for kind, _ in BLOCKS} == {"sh", "python", "c"}


def test_the_two_commands():
    lines = commands("# Wisp")
    assert [line.split("#")[0].strip() for line in lines] == ["make demo", "make test"]
    for line in lines:
        shell(f"make -n {line.split()[1]}", ROOT)


@pytest.mark.slow
def test_demo(demo):
    """What `make demo` runs: it finds the face, writes the picture, prints what it measured."""
    output = (demo / "printed.txt").read_text()
    rows = re.findall(r"^(float|int8) +([\d,]+) B +([\d,]+) B +([\d.]+) ms +score ([\d.]+)", output, re.MULTILINE)
    assert [r[0] for r in rows] == ["float", "int8"] and all(float(r[4]) > 0.8 for r in rows), output
    assert "signal-to-noise" in output
    assert (demo / "faces.png").stat().st_size > 10_000


@pytest.mark.slow
def test_tour_in_the_shell(demo, tmp_path):
    """In a copy of the demo's folder; the lines that go there are left out."""
    lines = commands("## A tour in 60 seconds")
    assert lines[:2] == [". .venv/bin/activate", "cd build/demo"]
    copy = shutil.copytree(demo, tmp_path / "copy")
    for line in lines[2:]:
        assert shell(line, copy, HOME=str(tmp_path / "home"))
    assert set(np.load(copy / "faces.npz")) >= {"cls_8", "bbox_8"}
    written = [path for path in (tmp_path / "home").rglob("*") if path.is_file() and ".onnxruntime" not in path.parts]
    assert not written, "a command writes into the home folder (ONNX Runtime by itself does)"


@pytest.mark.slow
def test_tour_in_python(demo):
    code = "\n".join(code for kind, code in BLOCKS if kind == "python")
    (demo / "tour.py").write_text(code)
    assert "(1, 6400, 1)" in shell(f"{sys.executable} tour.py", demo)


@pytest.mark.slow
def test_raspberry_pi_install(home, demo):
    """The three commands, in a fresh environment: neither onnx nor the converter is needed."""
    lines = [line for line in commands("## Raspberry Pi") if line.startswith(("python3", "~/pi/"))]
    assert len(lines) == 3
    shutil.copy(demo / "yunet_int8.wisp", home)
    if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True).returncode:
        pytest.skip("this Python cannot make environments (no ensurepip)")
    lines = [line.replace("~/", f"{home}/") for line in lines]
    shell(lines[0].replace("python3", sys.executable), home)
    probe = subprocess.run(["pi/bin/pip", "download", "-q", "--no-deps", "-d", "probe", "cffi"], cwd=home,
                           capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"pip cannot download here: {probe.stderr.strip().splitlines()[-1]}")
    for line in lines[1:]:
        output = shell(line, home)
    assert "GMAC/s" in output
    assert "onnx" not in shell("pi/bin/pip list --format freeze", home)


@pytest.mark.slow
def test_raspberry_pi_cross_build(aarch64_build, small_files, native_build, tmp_path, x8):
    """The commands build (see the fixture); on an emulated Pi 3 the result is what it is here."""
    (tmp_path / "small.wisp").write_bytes(small_files["int8"])
    result = emulate(aarch64_build / "examples" / "classify", tmp_path / "small.wisp", input=x8.tobytes())
    (tmp_path / "x.f32").write_bytes(x8.tobytes())
    assert result.stdout.decode() == shell(f"{native_build}/examples/classify small.wisp < x.f32", tmp_path)


@pytest.mark.slow
def test_c_build(home):
    for line in commands("## C\n"):
        shell(line, home, 600)
    assert json.loads((home / "build" / "c" / "sources.json").read_text())["groups"]
    shell("cmake --install build/c --prefix usr", home)
    assert (home / "usr" / "include" / "wisp.h").exists()


def test_c_example(small_files, native_build, tmp_path, x8):
    code = next(code for kind, code in BLOCKS if kind == "c")
    example = (CBACKEND / "examples" / "classify.c").read_text()
    assert code == example, "README shows another program than examples/classify.c"
    assert len(code.splitlines()) <= 25
    import wisp

    (tmp_path / "m.wisp").write_bytes(small_files["float"])
    (tmp_path / "x.f32").write_bytes(x8.tobytes())
    best = int(wisp.load(small_files["float"]).run(x8)["y"].argmax())
    program = native_build / "examples" / "classify"
    assert shell(f"{program} m.wisp < x.f32", tmp_path).startswith(f"class {best}, ")
    for arguments, text in (("missing.wisp", "shorter"), ("x.f32", "not a .wisp file")):
        result = subprocess.run(f"{program} {arguments} < x.f32", shell=True, cwd=tmp_path,
                                capture_output=True, text=True)
        assert result.returncode == 1 and text in result.stderr


def test_folders_exist():
    for name in re.findall(r"^(\w+)/\S* {2,}", README, re.MULTILINE):
        assert (ROOT / name).is_dir()
