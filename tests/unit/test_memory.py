"""Memory: what the converter prints is what the runtime asks for, and nothing outside of it is touched."""
# SPDX-License-Identifier: Apache-2.0
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import wisp
from conftest import small_cnn
from support import make_model
from wisp.file import read
from wisp.source import session_size

GUARDED = ("float", "int8", "dynamic")  # of small_files
TAIL = "tail"


@pytest.mark.parametrize("kind", ["float", "int8"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_file_states_what_the_runtime_needs(small_files, kind, threads):
    file, model = read(small_files[kind]), wisp.load(small_files[kind], threads=threads)
    assert model.arena_bytes == file.arena_size(threads)
    assert model.session_bytes == session_size(small_files[kind])


def test_converter_prints_what_the_runtime_needs():
    from wisp_converter import convert

    lines = []
    model = wisp.load(convert(small_cnn(), report=lines.append))
    printed = re.search(r"arena (\d+) with 1 thread\b", "\n".join(lines))
    assert printed and int(printed.group(1)) == model.arena_bytes


def test_memory_is_the_same_on_every_instruction_set(small_files):
    for kind in GUARDED:
        scalar, best = (wisp.load(small_files[kind], threads=2, cpu=cpu, shapes={"x": (1, 3, 8, 8)})
                        for cpu in ("scalar", None))
        assert (scalar.arena_bytes, scalar.session_bytes) == (best.arena_bytes, best.session_bytes)


@pytest.mark.parametrize("name, shapes", [
    ("mobilenet_v2.onnx", None), ("yunet.onnx", None), ("mnist_cnn.onnx", None),
])
def test_real_models(asset, name, shapes):
    from wisp_converter import convert

    data = convert(str(asset(name)), shapes=shapes, verify=False)
    for threads in (1, 2):
        assert wisp.load(data, threads=threads).arena_bytes == read(data).arena_size(threads)


# ---- guard pages


class GuardedAllocator:
    """Memory between two pages that may not be touched: flush with the upper one, or with the lower one."""

    def __init__(self, flush_end: bool):
        import ctypes
        import mmap

        self.ctypes, self.mmap, self.flush_end, self.keep = ctypes, mmap, flush_end, []
        self.libc = ctypes.CDLL(None, use_errno=True)

    def __call__(self, size: int) -> np.ndarray:
        page = self.mmap.PAGESIZE
        inner = -(-max(size, 1) // page) * page
        memory = self.mmap.mmap(-1, inner + 2 * page)
        array = np.frombuffer(memory, np.uint8)
        address = array.ctypes.data
        for guard in (address, address + page + inner):
            assert self.libc.mprotect(self.ctypes.c_void_p(guard), self.ctypes.c_size_t(page), 0) == 0
        self.keep.append(array)
        start = page + inner - size if self.flush_end else page
        assert (address + start) % 64 == 0, "sizes are multiples of 64"
        array[start : start + size] = 0xA5
        return array[start : start + size]


def run_guarded(path: str, threads: int, flush_end: bool) -> None:
    """In a process of its own: touching a guard page ends it."""
    import wisp.pool
    import wisp.session

    wisp.session.aligned = wisp.pool.aligned = GuardedAllocator(flush_end)
    for cpu in ("scalar", None):
        model = wisp.load(path, threads=threads, cpu=cpu, shapes={"x": (1, 3, 8, 8)})
        model.run(np.ones((1, 3, 8, 8), np.float32))
    os._exit(0)  # pages that may not be touched are not worth unmapping


def input_at_the_end() -> bytes:
    """A convolution of few filters whose input is the last thing in the plan, and ends with it:
    pixels of 12 bytes, copied 16 at a time."""
    from wisp_converter import convert

    model = make_model([("Conv", ["x", "w"], ["y"], {"pads": [1] * 4})], {"x": [1, 3, 8, 8]}, ["y"],
                       {"w": np.ones((1, 3, 3, 3), np.float32)})
    data = convert(model, verify=False)
    file = read(data)
    conv = next(node for node in file.operators if len(node.inputs) > 1)
    assert conv.inputs[0].offset + conv.inputs[0].size == file.plan_size
    return data


@pytest.mark.skipif(sys.platform != "linux", reason="uses mprotect")
@pytest.mark.parametrize("kind", [*GUARDED, TAIL])
@pytest.mark.parametrize("flush_end", [0, 1])
def test_nothing_outside_is_touched(small_files, tmp_path, kind, flush_end):
    (tmp_path / "m.wisp").write_bytes(input_at_the_end() if kind == TAIL else small_files[kind])
    for threads in (1, 2):
        code = ("from test_memory import run_guarded; "
                f"run_guarded({str(tmp_path / 'm.wisp')!r}, {threads}, bool({flush_end}))")
        paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent),
                                 os.environ.get("PYTHONPATH", "")])
        result = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths},
                                capture_output=True, text=True)
        assert result.returncode == 0, f"status {result.returncode}\n{result.stderr[-3000:]}"
