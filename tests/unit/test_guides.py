"""The guides of docs/guides: every block is run in its order, as a reader would; what they quote is what is printed."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, onnx_model, small_cnn

GUIDES = ROOT / "docs" / "guides"
ELSEWHERE = re.compile(r"# on (the Pi|the PC|the board)\b")
NOT_RUN_HERE = {"raspberry-pi.md": 2}
"""How many blocks begin with a line such as "# on the Pi": they need another machine."""


def blocks(text: str) -> list[tuple[str, str]]:
    found = re.findall(r"^( *)```(\w+)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [(kind, re.sub(f"^{indent}", "", code, flags=re.MULTILINE)) for indent, kind, code in found]


# ---- what the reader of a guide has


def save_model(model, path: Path) -> None:
    import onnx

    onnx.save(model, path)


def words_model():
    """score = (sum over length of mask * table[ids]) w"""
    from onnx import helper

    rng = np.random.default_rng(3)
    nodes = [helper.make_node("Gather", ["table", "ids"], ["rows"], "lookup"),
             helper.make_node("Unsqueeze", ["mask", "last"], ["column"], "column"),
             helper.make_node("Mul", ["rows", "column"], ["masked"], "masked"),
             helper.make_node("ReduceSum", ["masked", "first"], ["sum"], "sum", keepdims=0),
             helper.make_node("MatMul", ["sum", "w"], ["score"], "score")]
    constants = {"table": rng.standard_normal((10, 4)).astype(np.float32), "last": np.int64([2]),
                 "first": np.int64([1]), "w": rng.standard_normal((4, 2)).astype(np.float32)}
    inputs = {"ids": (np.int64, ["batch", "length"]), "mask": (np.float32, ["batch", "length"])}
    return onnx_model(nodes, inputs, {"score": (np.float32, ["batch", 2])}, constants)


def write_pictures(folder: Path, count: int, seed: int) -> None:
    from PIL import Image

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((64, 48)).save(folder / f"{i:03}.png")


def for_c(home: Path, asset) -> None:
    need("pkg-config")
    save_model(words_model(), home / "words.onnx")


def for_microcontrollers(home: Path, asset) -> None:
    need("clang-19", "ld.lld-19", "arm-none-eabi-gcc", "llvm-size-19", "qemu-system-arm", "ninja")
    shutil.copy(asset("mnist_cnn.onnx"), home / "digits.onnx")
    digits = np.random.default_rng(4).uniform(0, 255, (8, 1, 28, 28)).astype(np.float32)
    np.savez(home / "digits.npz", Input3=digits)


def for_raspberry_pi(home: Path, asset) -> None:
    need("aarch64-linux-gnu-gcc")
    save_model(small_cnn(), home / "model.onnx")
    write_pictures(home / "pictures", 24, seed=5)


def for_quantize(home: Path, asset) -> None:
    save_model(small_cnn(), home / "model.onnx")
    write_pictures(home / "calibration", 50, seed=6)
    write_pictures(home / "check", 20, seed=7)
    (home / "labels.txt").write_text("ant\nbee\ncat\ndog\n")


PREPARE: dict[str, Callable] = {"c.md": for_c, "microcontrollers.md": for_microcontrollers,
                                "quantize.md": for_quantize, "raspberry-pi.md": for_raspberry_pi}


def need(*programs: str) -> None:
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture
def home(tmp_path) -> Path:
    """A home folder with a copy of the repository in it, as far as builds need one."""
    copy = tmp_path / "wisp"
    copy.mkdir()
    for name in ("benchmarks", "cbackend", "converter", "engine"):
        (copy / name).symlink_to(ROOT / name)
    for name in ("pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE", "Makefile"):
        shutil.copy(ROOT / name, copy)
    return tmp_path


def git_status() -> str:
    return subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout


# ---- running them


def run_guide(name: str, home: Path) -> list[str]:
    """What each block printed, "" for those that only make a file."""
    lines, found = ["set -e"], blocks((GUIDES / name).read_text(encoding="utf-8"))
    for i, (kind, code) in enumerate(found):
        lines.append(f"echo '@@@ {i}'")
        if ELSEWHERE.match(code):
            continue
        if kind == "sh":
            lines.append(code)
        elif kind == "python":
            (home / f"block_{i}.py").write_text(code)
            lines.append(f"python block_{i}.py")
        elif kind in ("c", "cmake"):
            path = home / re.match(r"(?:/\*|#) ([\w./]+)", code)[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(code)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(["bash", "-c", "\n".join(lines)], cwd=home, stdout=subprocess.PIPE, text=True, timeout=900,
                            stderr=subprocess.STDOUT, env={**os.environ, "PATH": path, "HOME": str(home)})
    printed = re.split(r"^@@@ \d+\n", result.stdout, flags=re.MULTILINE)[1:]
    assert result.returncode == 0, f"{name}, block {len(printed) - 1}:\n{printed[-1][-3000:] if printed else ''}"
    return printed


def shape_of(line: str) -> str:
    """A line with every number replaced: what a guide quotes was measured elsewhere."""
    return re.sub(r"[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?", "N", " ".join(line.split()))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(p.name for p in GUIDES.glob("*.md")))
def test_guide(name, home, asset):
    PREPARE.get(name, lambda *_: None)(home, asset)
    before, found = git_status(), blocks((GUIDES / name).read_text(encoding="utf-8"))
    printed = run_guide(name, home)
    for i, (kind, text) in enumerate(found):
        if kind != "text":
            continue
        got = [shape_of(line) for line in printed[i - 1].splitlines()]
        for line in text.splitlines():
            assert line == "..." or shape_of(line) in got, f"{name} quotes {line!r}; printed:\n{printed[i - 1]}"
    if name == "c.md":
        runs = [[line for line in text.splitlines() if line.startswith("length")] for text in printed]
        by_hand, python = (lines for lines in runs if lines)
        assert by_hand == python * 2, "the program built by hand, the one built by CMake, Python"
    assert git_status() == before, "a guide leaves something behind in the repository"


@pytest.mark.parametrize("name", sorted(p.name for p in GUIDES.glob("*.md")))
def test_blocks_are_of_kinds_that_are_run(name):
    text = (GUIDES / name).read_text(encoding="utf-8")
    assert {kind for kind, _ in blocks(text)} <= {"sh", "python", "c", "cmake", "text"}
    assert text.count("```") == 2 * len(blocks(text)), "a block without a kind is not run"
    assert sum(bool(ELSEWHERE.match(code)) for _, code in blocks(text)) == NOT_RUN_HERE.get(name, 0)


# ---- what they say


def messages() -> list[str]:
    """The texts of the sources, literals that follow each other joined, "\0" where a value is put in."""
    found = []
    for path in [*(ROOT / "engine").rglob("*.py"), *(ROOT / "converter").rglob("*.py")]:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in (node for node in nodes if id(node) not in documentation):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    for path in (ROOT / "cbackend" / "src").rglob("*.c"):
        found += re.findall(r'"((?:[^"\\\n]|\\.)*)"', re.sub(r'"\s*\n\s*"', "", path.read_text(encoding="utf-8")))
    return found


def test_messages_exist():
    """Each part between two … stands in one text of the sources, in this order."""
    text, known = (GUIDES / "troubleshooting.md").read_text(encoding="utf-8"), messages()
    quoted = re.findall(r"^\| `(.+?)` \|", text, re.MULTILINE)
    assert len(quoted) > 30
    for message in quoted:
        pattern = re.compile(".*".join(re.escape(part.strip(" ")) for part in message.split("…")), re.DOTALL)
        assert any(pattern.search(known_text) for known_text in known), f"nothing says {message!r}"


DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "cbackend").rglob("*.md"),
                    *(ROOT / "android_demo").rglob("*.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    """Files of the repository, and headings in them as GitHub spells their anchors."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)]*))?\)", text):
        there = (path.parent / target).resolve() if target else path
        assert there.exists() and there.is_relative_to(ROOT), f"{target} does not exist"
        headings = re.findall(r"^#+ (.*)", there.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not anchor or anchor in anchors, f"{target}#{anchor}: no such heading; there are {anchors}"
    for name in re.findall(r"`((?:docs|cbackend|tests|engine|converter|benchmarks)/[\w./-]+\.\w+)`", text):
        assert (ROOT / name).exists(), f"{name} is named and does not exist"
