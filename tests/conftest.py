"""What all tests share: tiers, fetched models, small ONNX graphs, a build of the C library with its test programs."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import functools
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
CBACKEND = ROOT / "cbackend"


# ---- tiers: `make test` runs pytest --quick, `make check` everything

SLOW_FOLDERS = ("models", "targets")
SLOW_SECONDS = 15  # from here on a test should be marked


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true",
                     help="leave out what is marked slow; of the tests of operators keep one case for each")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes many seconds; not part of --quick")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--quick"):
        return
    kept, left_out, seen = [], [], set()
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        case = item.originalname, item.path, operators_of(item)
        slow = folder in SLOW_FOLDERS or item.get_closest_marker("slow") or folder == "ops" and case in seen
        (left_out if slow else kept).append(item)
        seen.add(case)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def operators_of(item) -> frozenset[str]:
    """The operators that a test's parameters name, as ONNX spells them."""
    known, found = _operator_names(), set()

    def look(value) -> None:
        if isinstance(value, str) and value in known:
            found.add(value)
        elif isinstance(value, (list, tuple, set)):
            for part in value:
                look(part)

    if hasattr(item, "callspec"):
        look(list(item.callspec.params.values()))
    return frozenset(found)


@functools.cache
def _operator_names() -> set[str]:
    import onnx

    return {schema.name for schema in onnx.defs.get_all_schemas()}


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("--quick"):
        for report in terminalreporter.getreports("passed"):
            if report.when == "call" and report.duration > SLOW_SECONDS:
                terminalreporter.line(f"{report.duration:.0f} s, should be marked slow: {report.nodeid}")


# ---- fixtures and helpers


@pytest.fixture(scope="session")
def asset():
    """asset("yunet.onnx"): the path of a fetched file; the test is skipped, with the reason, if it cannot be had."""
    import fetch
    import mobilenet

    def get(name: str) -> Path:
        try:
            return mobilenet.onnx_path() if name == "mobilenet_v2.onnx" else fetch.fetch(name)
        except fetch.FetchError as error:
            pytest.skip(f"needs {name}: {error}")

    return get


def onnx_model(nodes, inputs: dict, outputs: dict, constants: dict | None = None, opset: int = 17):
    """An onnx.ModelProto. inputs, outputs: {name: (numpy dtype, shape)}, symbolic axes as strings."""
    from onnx import helper, numpy_helper

    def info(values):
        return [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(np.dtype(d)), s)
                for n, (d, s) in values.items()]

    tensors = [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()]
    graph = helper.make_graph(nodes, "test", info(inputs), info(outputs), tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def small_cnn(dynamic: bool = False):
    """x [N or 1, 3, 8, 8] -> y [.., 4]: convolution, clamp, depthwise, residual, pooling, dense.
    Deterministic weights."""
    from onnx import helper

    rng = np.random.default_rng(7)
    batch = "N" if dynamic else 1

    def weight(*shape):
        return rng.standard_normal(shape).astype(np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))

    constants = {"w0": weight(8, 3, 3, 3), "b0": weight(8, 1).ravel(), "w1": weight(8, 1, 3, 3),
                 "b1": weight(8, 1).ravel(), "w2": weight(4, 8), "b2": weight(4, 1).ravel()}
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], "conv0", pads=[1] * 4),
        helper.make_node("Relu", ["c0"], ["r0"], "relu0"),
        helper.make_node("Conv", ["r0", "w1", "b1"], ["c1"], "conv1", pads=[1] * 4, group=8),
        helper.make_node("Add", ["r0", "c1"], ["a0"], "add0"),
        helper.make_node("GlobalAveragePool", ["a0"], ["p0"], "pool0"),
        helper.make_node("Flatten", ["p0"], ["f0"], "flatten0"),
        helper.make_node("Gemm", ["f0", "w2", "b2"], ["y"], "gemm0", transB=1),
    ]
    return onnx_model(nodes, {"x": (np.float32, [batch, 3, 8, 8])}, {"y": (np.float32, [batch, 4])}, constants)


@pytest.fixture(scope="session")
def small_files() -> dict[str, bytes]:
    """The small network as "float", "int8" and "dynamic" files."""
    from wisp_converter import convert

    rng = np.random.default_rng(0)
    samples = [{"x": rng.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(8)]
    metadata = {"labels": ["ant", "bee", "cat", "dog"]}
    return {
        "float": convert(small_cnn(), metadata=metadata),
        "int8": convert(small_cnn(), quantize="int8", calibration=samples, metadata=metadata),
        "dynamic": convert(small_cnn(dynamic=True), metadata=metadata),
    }


@pytest.fixture
def x8() -> np.ndarray:
    """An input of the small network."""
    return np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)


def run_wisp(*arguments, cwd=None, env=None, stdin=None) -> subprocess.CompletedProcess:
    """The `wisp` command as a user would call it."""
    return subprocess.run([sys.executable, "-m", "wisp", *map(str, arguments)], cwd=cwd,
                          env={**os.environ, **(env or {})}, stdin=stdin, capture_output=True, text=True, timeout=300)


def call_wisp(*arguments, cwd=None) -> subprocess.CompletedProcess:
    """As run_wisp, in this process, which saves the half second that starting one takes."""
    from wisp.cli import main

    before = os.getcwd()
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    os.chdir(cwd or before)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(list(map(str, arguments)))
    finally:
        os.chdir(before)
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(arguments, status, *said)


def cmake_build(source: Path, build: Path, *options: str, target: str | None = None) -> None:
    """Configure and build with CMake, with Ninja where there is one; the log is the failure's message."""
    configure = ["cmake", "-S", source, "-B", build, *options]
    if not (build / "CMakeCache.txt").exists() and _has("ninja"):
        configure += ["-G", "Ninja"]
    building = ["cmake", "--build", build, "--parallel", "2", *(["--target", target] if target else [])]
    for command in (configure, building):
        result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]


def symbols(library: Path, *options: str) -> set[str]:
    """The names that `nm` with these options lists."""
    if not _has("nm"):
        pytest.skip("needs nm (binutils)")
    output = subprocess.run(["nm", *options, library], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1].split("@")[0] for line in output.splitlines() if line and not line.endswith(":")}


def _has(program: str) -> bool:
    import shutil

    return shutil.which(program) is not None


def build_once(tmp_path_factory, name: str, make) -> Path:
    """A folder that make(folder) has filled: once, however many processes run the tests."""
    import fcntl

    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = base / name, base / f"{name}.done"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def native_build(tmp_path_factory) -> Path:
    """The C library with checkasm and examples, built by CMake alone, warnings as errors."""
    return build_once(tmp_path_factory, "native",
                      lambda folder: cmake_build(CBACKEND, folder, "-DWISP_WERROR=ON", "-DWISP_BUILD_TESTS=ON"))


@pytest.fixture(scope="session")
def aarch64_build(tmp_path_factory) -> Path:
    """The C library with checkasm and examples for 64-bit ARM, made by the commands of the README; see `emulate`."""
    import shutil

    if not shutil.which("aarch64-linux-gnu-gcc"):
        pytest.skip("needs aarch64-linux-gnu-gcc")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for line in readme.splitlines() if line.startswith("cmake ") and "build/pi" in line]
    assert len(lines) == 2

    def make(home: Path) -> None:
        for name in ("cbackend", "tests"):
            (home / name).unlink(missing_ok=True)
            (home / name).symlink_to(ROOT / name)
        for line in lines:
            result = subprocess.run(line, shell=True, cwd=home, capture_output=True, text=True)
            assert result.returncode == 0, f"$ {line}\n{result.stdout[-3000:]}{result.stderr[-3000:]}"

    return build_once(tmp_path_factory, "aarch64", make) / "build" / "pi"


def emulate(program: Path, *arguments, **options) -> subprocess.CompletedProcess:
    """Run a program for 64-bit ARM on an emulated Raspberry Pi 3."""
    import shutil

    if not shutil.which("qemu-aarch64"):
        pytest.skip("needs qemu-aarch64")
    command = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-cpu", "cortex-a53", program, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, timeout=600, **options)
