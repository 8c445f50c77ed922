"""ONNX's node tests: the number that pass may only grow. See run.py for the list of those that do not."""
# SPDX-License-Identifier: Apache-2.0
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import run  # noqa: E402

RECORDED = 1090  # passes on the day this line was last changed
"""Raise it with every change that makes more tests pass."""


def test_passes_do_not_fall(capsys):
    import onnx

    if onnx.__version__ != "1.22.0":
        pytest.skip(f"the recorded count is for onnx 1.22.0, this is {onnx.__version__}")
    results = run.run_all(run.test_folders(), os.cpu_count() or 1)
    counts = Counter(result for result, _ in results.values())
    crashed = [f"{name}: {reason}" for name, (_, reason) in results.items() if reason.startswith("the process died")]
    with capsys.disabled():
        print(f"\nONNX node tests: {dict(counts)}")
    assert not crashed
    assert counts[run.PASSED] >= RECORDED
