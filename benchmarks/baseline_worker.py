"""One build's side of baseline.py: its converter and its library; questions come in as JSON lines on stdin."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools
import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import wisp
import wisp_converter
from wisp._library import DTYPES, aligned, cpu_flags, ffi, lib, pointer, text

RANGES = {"mobilenet_v2": (-2, 2), "yunet": (0, 255), "resnet50": (-2, 2)}  # inputs are uniform in there


def draw(network: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(*RANGES[network], shape).astype(np.float32)


def convert(network: str, source: str, kind: str, path: str) -> dict:
    """Write the network's .wisp file if it is not there."""
    if not Path(path).exists():
        data = wisp_converter.convert(source, verify=False)
        if kind == "int8":
            first = wisp.load(data).inputs[0]
            samples = [{first.name: draw(network, first.shape, seed)} for seed in range(3)]
            data = wisp_converter.convert(source, quantize="int8", calibration=samples, verify=False)
        Path(path).write_bytes(data)
    return {}


class Bound:
    """A file opened, prepared and bound through the C API, with its input drawn."""

    def __init__(self, network: str, path: str, threads: int):
        self.error, self.model = ffi.new("wisp_error *"), ffi.new("wisp_model *")
        self.handle = ffi.new("wisp_session **")
        data = np.fromfile(path, np.uint8)
        self.file = aligned(data.size)
        self.file[:] = data
        self.check(lib.wisp_open(self.model, pointer(self.file), data.size, self.error))
        self.pool, pool = None, ffi.NULL
        if threads > 1:
            self.pool = aligned(lib.wisp_pool_size(threads))
            pool = ffi.cast("wisp_pool *", self.pool.ctypes.data)
            self.check(lib.wisp_pool_start(pool, threads))
        self.options = ffi.new("wisp_options *", {"threads": threads, "cpu_mask": cpu_flags(), "pool": pool})
        self.session_bytes = lib.wisp_session_size(self.model)
        self.memory = aligned(self.session_bytes)
        self.prepare()
        self.arena_bytes = lib.wisp_arena_size(self.handle[0])
        self.arena = aligned(self.arena_bytes)
        self.bind()
        self.inputs = [self.view(lib.wisp_session_input_info, lib.wisp_input_data, i)
                       for i in range(lib.wisp_input_count(self.model))]
        self.outputs = [self.view(lib.wisp_session_output_info, lib.wisp_output_data, i)
                        for i in range(lib.wisp_output_count(self.model))]
        self.drawn = [draw(network, x.shape, 9) for x in self.inputs]

    def view(self, info_of, data_of, index: int) -> np.ndarray:
        info = ffi.new("wisp_tensor_info *")
        self.check(info_of(self.handle[0], index, info))
        buffer = ffi.buffer(ffi.cast("char *", data_of(self.handle[0], index)), info.size)
        return np.frombuffer(buffer, DTYPES[info.dtype]).reshape(tuple(info.dims[0 : info.rank]))

    def check(self, status: int) -> None:
        if status:
            raise RuntimeError(text(self.error.message))

    def prepare(self) -> None:
        self.check(lib.wisp_prepare(self.model, self.options, pointer(self.memory), self.session_bytes,
                                    self.handle, self.error))

    def bind(self) -> None:
        self.check(lib.wisp_bind(self.handle[0], pointer(self.arena), self.arena_bytes, self.error))

    def run(self) -> float:
        """Seconds of one wisp_run."""
        for view, x in zip(self.inputs, self.drawn):
            np.copyto(view, x)
        start = time.perf_counter()
        status = lib.wisp_run(self.handle[0], self.error)
        elapsed = time.perf_counter() - start
        self.check(status)
        return elapsed


bound = functools.cache(Bound)


def describe(network: str, path: str, threads: int) -> dict:
    """SHA-256 of the outputs, and memory."""
    session = bound(network, path, threads)
    session.run()
    digest = hashlib.sha256(b"".join(y.tobytes() for y in session.outputs)).hexdigest()
    return {"sha256": digest, "arena": session.arena_bytes, "session": session.session_bytes}


def time_runs(network: str, path: str, threads: int, seconds: float) -> dict:
    """{"ms"}: the median of at least three runs, after one to warm up."""
    session, times = bound(network, path, threads), []
    session.run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        times.append(session.run())
    return {"ms": 1e3 * float(np.median(times))}


def time_prepares(network: str, path: str, threads: int, count: int) -> dict:
    """{"ms"}: the median of wisp_prepare and wisp_bind together."""
    session, times = bound(network, path, threads), []
    for _ in range(count):
        start = time.perf_counter()
        session.prepare()
        session.bind()
        times.append(time.perf_counter() - start)
    return {"ms": 1e3 * float(np.median(times))}


def main() -> None:
    questions = {f.__name__: f for f in (convert, describe, time_runs, time_prepares)}
    for line in sys.stdin:
        question = json.loads(line)
        print(json.dumps(questions[question.pop("do")](**question)), flush=True)


if __name__ == "__main__":
    main()
