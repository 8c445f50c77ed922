"""Runs the node tests that the onnx package ships, through converter and runtime.

usage: run.py [-k TEXT] [--update] [--json FILE] [--markdown FILE] [--jobs N] [--list failed|unsupported|passed]

Each test is one model with inputs and expected outputs. Passed: every output agrees within ONNX's own tolerance (rtol
1e-3, atol 1e-7; exactly for integers). Not supported: refused with a reason. Failed: everything else, a crash included.
passed.txt names those that pass. Exit status 1 if any test fails, or if what passes is not what is named there;
--update rewrites it.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

RTOL, ATOL = 1e-3, 1e-7
ONNX_VERSION = "1.22.0"  # whose tests passed.txt names
RECORD = Path(__file__).with_name("passed.txt")
UPDATE = "python tests/conformance/run.py --update"
UNJUDGED = {  # not counted as passed; tests/ops has tests of these
    **dict.fromkeys(("test_dft_inverse", "test_dft_inverse_opset19"),
                    "ONNX's expected values are their own rounding errors, up to 2e-7, where the result is 0"),
    **dict.fromkeys((f"test_bernoulli{kind}{form}" for kind in ("", "_double", "_seed") for form in ("", "_expanded")),
                    "the expected values are those of another generator of random numbers")}
PASSED, FAILED, UNSUPPORTED = "passed", "failed", "unsupported"


def test_folders() -> list[Path]:
    """The folders of all node tests of the installed onnx package."""
    import onnx.backend.test

    data = Path(onnx.backend.test.__file__).parent / "data" / "node"
    return sorted(p for p in data.glob("test_*") if (p / "model.onnx").exists())


def run_one(folder: Path) -> tuple[str, str]:
    """(result, reason) of one test."""
    import onnx
    import wisp
    if folder.name in UNJUDGED:
        return UNSUPPORTED, UNJUDGED[folder.name]
    from wisp_converter import ConvertError, UnsupportedError, convert

    model = onnx.load(folder / "model.onnx")
    data = folder / "test_data_set_0"
    try:
        inputs = _read(data, "input", model.graph.input)
        expected = _read(data, "output", model.graph.output)
    except TypeError as error:
        return UNSUPPORTED, str(error)
    try:
        loaded = wisp.load(convert(model, verify=False))
        inputs = {n: _indices(a, loaded, -1) for n, a in inputs.items()}
        expected = {n: _indices(a, loaded, -2) for n, a in expected.items()}  # what no output is
        got = loaded.run(inputs)
    except (UnsupportedError, wisp.UnsupportedError) as error:
        return UNSUPPORTED, _line(error)
    except (ConvertError, wisp.WispError) as error:
        return FAILED, _line(error)
    except Exception as error:  # a bug: anything not derived from our own errors
        return FAILED, f"{type(error).__name__}: {_line(error)}"
    for name, want in expected.items():
        reason = _difference(got.get(name), want)
        if reason:
            return FAILED, f"output {name!r}: {reason}"
    return PASSED, ""


def _read(folder: Path, kind: str, values) -> dict:
    """Tensors of input_N.pb or output_N.pb by the names of the graph. TypeError for sequences, optionals."""
    import onnx
    from onnx import numpy_helper

    arrays = {}
    for i, value in enumerate(values):
        if not value.type.HasField("tensor_type"):
            raise TypeError(f"{kind} {value.name!r} is a {value.type.WhichOneof('value')}")
        tensor = onnx.TensorProto()
        tensor.ParseFromString((folder / f"{kind}_{i}.pb").read_bytes())
        arrays[value.name] = numpy_helper.to_array(tensor)
    return arrays


def _indices(array, loaded, unknown: int):
    """Strings as their places in the file's metadata, `unknown` where they have none; numbers as they are."""
    import numpy as np

    if array.dtype.kind not in "OUS":
        return array
    known = loaded.metadata.get("strings", [])
    texts = [t.decode() if isinstance(t, bytes) else t for t in array.reshape(-1)]
    return np.array([known.index(t) if t in known else unknown for t in texts], np.int64).reshape(array.shape)


def _difference(got, want) -> str:
    """Why `got` is not what was expected, or an empty text."""
    import numpy as np
    from wisp._library import ELEMENT_TYPES

    if got is None:
        return "missing"
    if want.dtype.name in ELEMENT_TYPES.values():  # numpy lacks it: of one size are its bits, which wisp returns
        if got.dtype.itemsize != want.dtype.itemsize:
            return f"is {got.dtype}, expected the bits of {want.dtype}"
        got, want = got.view(want.dtype).astype(np.float32), want.astype(np.float32)
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"is {got.dtype}{list(got.shape)}, expected {want.dtype}{list(want.shape)}"
    if want.dtype.kind in "fc":
        if np.allclose(got, want, RTOL, ATOL, equal_nan=True):
            return ""
        with np.errstate(all="ignore"):
            return f"differs by up to {np.nanmax(np.abs(got.astype(float) - want.astype(float))):.3g}"
    return "" if np.array_equal(got, want) else f"{int((got != want).sum())} of {want.size} values differ"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def work() -> None:
    """A worker: folders on stdin, results as JSON lines on stdout. The name comes first, so that a crash has one."""
    for line in sys.stdin:
        folder = Path(line.strip())
        print(json.dumps({"start": folder.name}), flush=True)
        result, reason = run_one(folder)
        print(json.dumps({"name": folder.name, "result": result, "reason": reason}), flush=True)


def run_all(folders: list[Path], jobs: int, seconds: float = 120) -> dict[str, tuple[str, str]]:
    """{name: (result, reason)}. A test whose worker dies or takes longer than `seconds` has failed."""
    queue, results, lock = list(reversed(folders)), {}, threading.Lock()

    def serve() -> None:
        worker = None
        while True:
            with lock:
                if not queue:
                    break
                folder = queue.pop()
            worker = worker if worker and worker.poll() is None else _start_worker()
            outcome = _ask(worker, folder, seconds)
            with lock:
                results[folder.name] = outcome
        if worker:
            worker.stdin.close()
            worker.wait()

    threads = [threading.Thread(target=serve) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return dict(sorted(results.items()))


def _start_worker() -> subprocess.Popen:
    return subprocess.Popen([sys.executable, __file__, "--worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _ask(worker: subprocess.Popen, folder: Path, seconds: float) -> tuple[str, str]:
    timer = threading.Timer(seconds, worker.kill)
    timer.start()
    try:
        worker.stdin.write(f"{folder}\n")
        worker.stdin.flush()
        for line in worker.stdout:
            answer = json.loads(line)
            if answer.get("name") == folder.name:
                return answer["result"], answer["reason"]
    except BrokenPipeError:
        pass
    finally:
        timer.cancel()
    return FAILED, f"the process died with status {worker.wait()}"


def complaints(results: dict[str, tuple[str, str]], recorded: set[str]) -> list[str]:
    """A line for each test that fails, that no longer passes, or that passes without being recorded."""
    lines = []
    for name, (result, reason) in results.items():
        if result == FAILED:
            lines.append(f"failed: {name}: {reason}")
        elif result == PASSED and name not in recorded:
            lines.append(f"passes now, record it with `{UPDATE}`: {name}")
        elif result != PASSED and name in recorded:
            lines.append(f"lost: {name}: {reason}")
    lines += [f"lost: {name}: onnx {ONNX_VERSION} should have this test" for name in sorted(recorded - set(results))]
    return lines


def read_record() -> set[str]:
    return set(RECORD.read_text(encoding="utf-8").split())


def as_markdown(results: dict[str, tuple[str, str]]) -> str:
    lines = ["| test | result | reason |", "|---|---|---|"]
    lines += [f"| {name} | {result} | {reason.replace('|', '/')} |" for name, (result, reason) in results.items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", default="", metavar="TEXT", help="only tests whose name contains this")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--markdown", metavar="FILE")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", choices=(PASSED, FAILED, UNSUPPORTED), help="print these tests with their reasons")
    parser.add_argument("--update", action="store_true", help="record what passes in passed.txt")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work()
        return 0
    if arguments.update and arguments.k:
        parser.error("--update needs all tests: leave -k out")
    results = run_all([f for f in test_folders() if arguments.k in f.name], arguments.jobs)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1))
    if arguments.markdown:
        Path(arguments.markdown).write_text(as_markdown(results))
    for name, (result, reason) in results.items():
        if result == arguments.list:
            print(f"{name}: {reason}")
    counts = Counter(result for result, _ in results.values())
    print(f"{counts[PASSED]} passed, {counts[FAILED]} failed, {counts[UNSUPPORTED]} not supported, "
          f"of {len(results)} ONNX node tests")
    if arguments.update:
        RECORD.write_text("".join(f"{name}\n" for name, (result, _) in results.items() if result == PASSED),
                          encoding="utf-8")
    lines = complaints(results, {name for name in read_record() if arguments.k in name})
    print("\n".join(lines), end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
