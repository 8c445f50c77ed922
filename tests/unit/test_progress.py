"""Progress: on a terminal something moves from the first second to the last; elsewhere nothing is said."""
# SPDX-License-Identifier: Apache-2.0
import io
import os
import pty
import re
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from conftest import run_wisp, small_cnn

from wisp_converter import Progress
from wisp_converter.progress import shows_progress


def on_a_terminal(arguments, folder):
    """What a program writes to the terminal that its stderr is, as (seconds since its start, text); its stdout."""
    ours, theirs = pty.openpty()
    start, written = time.perf_counter(), []
    with subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=theirs,
                          env={**os.environ, "COLUMNS": "100"}) as process:
        os.close(theirs)
        while True:
            try:
                text = os.read(ours, 65536)
            except OSError:  # Linux: the other end is closed
                text = b""
            if not text:
                break
            written.append((time.perf_counter() - start, text.decode()))
        printed = process.stdout.read().decode()
    os.close(ours)
    assert process.returncode == 0, written
    return written, printed


@pytest.fixture
def folder(tmp_path):
    onnx.save(small_cnn(), tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "samples.npz", x=rng.standard_normal((6, 3, 8, 8)).astype(np.float32))
    return tmp_path


def last_lines(text):
    """The line as the terminal shows it after all of `text`, and every state it had."""
    states = [re.sub(r"\x1b\[\w", "", part).strip() for part in re.split(r"[\r\n]", text)]
    return states[-1], [s for s in states if s]


def test_steps_of_a_conversion(folder):
    written, printed = on_a_terminal(["-m", "wisp", "convert", "m.onnx", "--quantize", "int8", "--calibrate",
                                      "samples.npz"], folder)
    end, states = last_lines("".join(text for _, text in written))
    wanted = ["loading", "importing", "folding", "observing channels", "calibrating", "quantizing", "planning",
              "writing", "verifying", "writing"]
    seen = [name for name in (re.match(r"[a-z ]*", state).group().strip() for state in states) if name in wanted]
    steps = [name for i, name in enumerate(seen) if i == 0 or seen[i - 1] != name]
    assert steps == wanted and end == "", states
    assert "SNR" in printed and "m.wisp: " in printed and "calibrating" not in printed
    for extra in ([], ["--quiet"]):
        silent = run_wisp("convert", "m.onnx", *extra, cwd=folder)
        assert (silent.returncode, silent.stderr, bool(silent.stdout)) == (0, "", not extra)
    assert on_a_terminal(["-m", "wisp", "convert", "m.onnx", "--quiet"], folder) == ([], "")


def test_long_steps_are_seen_to_be_alive(folder):
    """The clock moves while numpy or the runtime work."""
    code = """if True:
        import sys, time
        from wisp_converter import Progress
        with Progress() as progress:
            progress.step("thinking")
            time.sleep(3.5)
            progress.say("a line between")
            for _ in progress.over("counting", range(3), 3, "thing"):
                time.sleep(0.2)
    """
    written, printed = on_a_terminal(["-c", code], folder)
    times = [seconds for seconds, _ in written]
    assert max(np.diff(times)) < 2
    _, states = last_lines("".join(text for _, text in written))
    assert "thinking [00:03]" in states and any(re.match(r"counting: .*3/3 .*thing", s) for s in states), states
    assert printed == "a line between\n"


def test_without_a_terminal(capsys):
    with Progress() as progress:
        progress.step("importing")
        assert list(progress.over("counting", range(3), 3, "thing")) == [0, 1, 2]
        progress.say("a line", file=(other := io.StringIO()))
    assert capsys.readouterr() == ("", "") and other.getvalue() == "a line\n"


def test_a_progress_goes_on():
    @shows_progress
    def work(*, progress=None):
        return progress

    assert isinstance(work(), Progress) and isinstance(work(progress=True), Progress)
    own = Progress(False)
    assert work(progress=own) is own
