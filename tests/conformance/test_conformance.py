"""ONNX's node tests: what passed.txt names must pass, whatever runs must be right, and what passes must be named."""
# SPDX-License-Identifier: Apache-2.0
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import run  # noqa: E402


@pytest.mark.slow
def test_what_passes_is_what_is_recorded(capsys):
    import onnx

    if onnx.__version__ != run.ONNX_VERSION:
        pytest.skip(f"passed.txt is for onnx {run.ONNX_VERSION}, this is {onnx.__version__}")
    results = run.run_all(run.test_folders(), os.cpu_count() or 1)
    with capsys.disabled():
        print(f"\nONNX node tests: {sum(result == run.PASSED for result, _ in results.values())} of {len(results)} "
              "pass")
    assert not run.complaints(results, run.read_record())


def test_the_record_is_sorted_and_names_each_test_once():
    names = run.RECORD.read_text(encoding="utf-8").splitlines()
    assert names == sorted(set(names))
    assert set(names) <= {folder.name for folder in run.test_folders()}


RESULTS = {"test_a": (run.PASSED, ""), "test_b": (run.UNSUPPORTED, "no"), "test_c": (run.FAILED, "wrong")}


@pytest.mark.parametrize("recorded, words", [
    ({"test_a"}, ["failed: test_c: wrong"]),
    ({"test_a", "test_b"}, ["lost: test_b: no", "failed: test_c"]),
    (set(), ["passes now", "failed: test_c"]),
    ({"test_a", "test_gone"}, ["failed: test_c", "lost: test_gone"]),
], ids=["wrong", "loss", "gain", "missing"])
def test_what_is_complained_about(recorded, words):
    lines = run.complaints(RESULTS, recorded)
    assert len(lines) == len(words) and all(line.startswith(word) for line, word in zip(lines, words))
