"""Every command and program in README.md, run in its order; nothing there is claimed that was not done."""
# SPDX-License-Identifier: Apache-2.0
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


def shell(command: str, folder: Path, seconds: int = 300) -> str:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=seconds,
                            env=environment)
    assert result.returncode == 0, f"$ {command}\n{result.stdout[-3000:]}{result.stderr[-3000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory, asset) -> Path:
    """A folder that looks like the repository after `make demo`."""
    asset("yunet.onnx"), asset("astronaut.png")
    folder = tmp_path_factory.mktemp("readme")
    for name in ("benchmarks", "cbackend", "converter", "engine"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE", "Makefile"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_there_is_nothing_untested():
    assert {kind for kind, _ in BLOCKS} == {"sh", "python", "c"}


def test_the_two_commands():
    lines = commands("# Wisp")
    assert [line.split("#")[0].strip() for line in lines] == ["make demo", "make test"]
    for line in lines:
        shell(f"make -n {line.split()[1]}", ROOT)


@pytest.mark.slow
def test_demo(home):
    """What `make demo` runs: it finds the face, writes the picture, prints what it measured."""
    output = shell(f"{sys.executable} benchmarks/demo.py", home, 120)
    rows = re.findall(r"^(float|int8) +([\d,]+) B +([\d,]+) B +([\d.]+) ms +score ([\d.]+)", output, re.MULTILINE)
    assert [r[0] for r in rows] == ["float", "int8"] and all(float(r[4]) > 0.8 for r in rows), output
    assert "signal-to-noise" in output
    assert (home / "build" / "demo" / "faces.png").stat().st_size > 10_000


@pytest.mark.slow
def test_tour_in_the_shell(home):
    cache = os.environ.get("WISP_ASSETS") or "~/.cache/wisp"
    for line in commands("## A tour in 60 seconds"):
        if not line.startswith(". "):
            assert shell(line.replace("~/.cache/wisp", cache), home)
    assert set(np.load(home / "faces.npz")) >= {"cls_8", "bbox_8"}


def test_tour_in_python(home, asset):
    code = "\n".join(code for kind, code in BLOCKS if kind == "python")
    shutil.copy(asset("yunet.onnx"), home / "yunet.onnx")
    (home / "tour.py").write_text(code)
    assert "(1, 6400, 1)" in shell(f"{sys.executable} tour.py", home)


@pytest.mark.slow
def test_raspberry_pi_install(home):
    """The three commands, in a fresh environment: neither onnx nor the converter is needed."""
    lines = [line for line in commands("## Raspberry Pi") if line.startswith(("python3", "pi/"))]
    assert len(lines) == 3
    if not (home / "yunet_int8.wisp").exists():
        pytest.skip("needs the file that the tour converts")
    if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True).returncode:
        pytest.skip("this Python cannot make environments (no ensurepip)")
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


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
