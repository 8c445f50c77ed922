"""Converts, runs and judges random models: all operators that Wisp imports, one node or a chain of a few.

usage: run.py [--count N] [--seed S] [--first I] [--only OP] [--save FOLDER] [--show VERDICT] [--replay FOLDER]

Each model is run by ONNX Runtime and by ONNX's reference. Wisp must compute the same, or refuse with a message that
names the node. Where the two disagree, or neither runs the model, it is only counted, but Wisp must not crash on it.
Exit status 1 where a result is wrong or a refusal names no node; such models are written to --save, and --replay
judges one again.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SECONDS = 60  # for one model
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from generate import Case, generate  # noqa: E402
from judge import DISPUTED, REFUSED, RIGHT, UNKNOWN, WRONG, judge  # noqa: E402


def work(seed: int, first: int, end: int, only: str | None) -> None:
    """A worker: a JSON line for each model before Wisp's turn and one for the verdict."""
    def say(**facts) -> None:
        print(json.dumps(facts), file=out, flush=True)
    out, sys.stdout = sys.stdout, sys.stderr
    for index in range(first, end):
        signal.alarm(SECONDS)  # which ends the process
        say(index=index, stage="oracles")
        case = generate(seed, index, only)
        if case is None:
            continue
        verdict, reason = judge(case, lambda stage, i=index: say(index=i, stage=stage))
        say(index=index, verdict=verdict, reason=reason, operators=case.operators)


def verdicts(seed: int, first: int, end: int, only: str | None = None) -> Iterator[dict]:
    """Index, verdict, reason and operators of models `first` to `end`. Whoever crashes or hangs does so in a process of
    its own; if that is Wisp, it is wrong."""
    while first < end:
        command = [sys.executable, __file__, "--worker", "--seed", str(seed), "--first", str(first),
                   "--count", str(end - first), *(["--only", only] if only else [])]
        worker, last = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True), None
        for line in worker.stdout:
            facts = json.loads(line)
            if "verdict" in facts:
                yield facts
            last = facts
        errors, status = worker.stderr.read(), worker.wait()
        if status > 0:
            raise RuntimeError(f"the generator failed at {last}: {errors}")
        if status == 0:
            return
        died = "wisp" if last.get("stage") == "wisp" else "an oracle"
        yield {"index": last["index"], "verdict": WRONG if died == "wisp" else UNKNOWN,
               "reason": f"{died} died of signal {-status}", "operators": ["?"]}
        first = last["index"] + 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="how many models (1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, metavar="I", help="number of the first model")
    parser.add_argument("--only", metavar="OP", help="the first node is this operator")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write models that fail")
    parser.add_argument("--show", choices=(REFUSED, UNKNOWN, DISPUTED), help="print these as well")
    parser.add_argument("--replay", type=Path, metavar="FOLDER", help="judge one that was written")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    end = options.first + options.count
    if options.worker:
        work(options.seed, options.first, end, options.only)
        return 0
    if options.replay:
        verdict, reason = judge(Case.load(options.replay))
        print(f"{verdict}: {reason}" if reason else verdict)
        return int(verdict == WRONG)
    counts: Counter[str] = Counter()
    for facts in verdicts(options.seed, options.first, end, options.only):
        counts[facts["verdict"]] += 1
        if facts["verdict"] in (WRONG, options.show):
            model = f"{options.seed}/{facts['index']} {' '.join(facts['operators'])}"
            print(f"{facts['verdict']}: {model}: {facts['reason']}", flush=True)
        if facts["verdict"] == WRONG and options.save:
            generate(options.seed, facts["index"], options.only).save(options.save / f"{options.seed}_{facts['index']}")
    for verdict in (RIGHT, REFUSED, UNKNOWN, DISPUTED, WRONG):
        print(f"{verdict:24} {counts[verdict]:6}")
    return int(counts[WRONG] > 0)


if __name__ == "__main__":
    sys.exit(main())
