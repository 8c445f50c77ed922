"""A few hundred random models: right or refused by name. run.py makes any number of them."""
# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")
SEED, COUNT = 17, 400


@pytest.mark.slow
def test_random_models():
    command = [sys.executable, RUN, "--seed", str(SEED), "--count", str(COUNT)]
    run = subprocess.run(command, capture_output=True, text=True)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    counts = {line[:24].strip(): int(line[24:]) for line in run.stdout.splitlines()}
    assert counts["accepted and right"] > COUNT // 2, "the generator draws too little that anybody runs"


def test_a_wrong_result_is_told(tmp_path):
    """The judge sees a wrong number, a wrong type, and a refusal without a name."""
    sys.path.insert(0, str(RUN.parent))
    import judge
    import numpy as np
    from generate import generate

    case = next(c for c in (generate(0, i, "Relu") for i in range(50))
                if c is not None and len(c.model.graph.node) == 1 and c.model.graph.input
                and c.model.graph.input[0].type.tensor_type.elem_type == 1 and next(iter(c.inputs.values())).size)
    right, kept = judge.run_wisp(case), judge.run_wisp

    def refuse(case):
        raise judge._refusals()[0]("not supported")

    answers = [(lambda case: right, judge.RIGHT), (lambda case: {n: a + 0.01 for n, a in right.items()}, judge.WRONG),
               (lambda case: {n: a.astype(np.float64) for n, a in right.items()}, judge.WRONG), (refuse, judge.WRONG)]
    try:
        for answer, verdict in answers:
            judge.run_wisp = answer
            assert judge.judge(case)[0] == verdict
    finally:
        judge.run_wisp = kept
    case.save(tmp_path / "case")
    again = subprocess.run([sys.executable, RUN, "--replay", tmp_path / "case"], capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout.strip() == judge.RIGHT, again.stdout + again.stderr
