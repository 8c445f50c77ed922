"""Small defects, one at a time, in a copy of the sources: the tests must notice each.

    python tests/mutation/run.py [WORD...] [--list] [--jobs N]

WORD: only mutations whose name or file contains it. What mutations.py lists is changed in a copy, built if it is C, and
the tests named beside it are run, checkasm for a kernel. Exit status 1 if the tests pass (survived), if the text to
change is not in the file exactly once (stale: adapt mutations.py to the sources), or if a mutation that is called
equivalent is noticed. Some minutes; run by hand after the code it names has changed, not part of `make check`.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from mutations import CHECKASM, MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "build" / "mutation"
SECONDS = 1800  # for the tests of one mutation
PYTEST = (sys.executable, "-S", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")
KILLED, SURVIVED, STALE = "killed", "SURVIVED", "STALE"


class Tree:
    """A copy of the sources with a build of its own, in which one mutation at a time is tried."""

    def __init__(self, folder: Path):
        self.folder, self.build = folder, folder / "build" / "mutation"
        for name in ("benchmarks", "cbackend", "converter", "docs", "engine", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "_wisp_cffi.py"))
        for name in ("README.md", "pyproject.toml"):
            shutil.copy(ROOT / name, folder / name)
        self.environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        self.call("cmake", "-S", "cbackend", "-B", self.build, "-G", "Ninja", "-DWISP_BUILD_TESTS=ON")
        self.call("cmake", "--build", self.build, "--target", "wisp_shared", "checkasm")
        self.call(sys.executable, "engine/emit_cffi.py", "cbackend", "engine/wisp")
        # -S below: an editable install must not win over the copy; what it needs comes back through the path
        site = [p for p in sys.path if p.endswith("site-packages")]
        self.environment["PYTHONPATH"] = os.pathsep.join([str(folder / "engine"), str(folder / "converter"), *site])
        self.environment |= {"WISP_LIBRARY": str(self.build / "libwisp.so"), "PYTHONDONTWRITEBYTECODE": "1"}

    def call(self, *words) -> None:
        done = self.run(list(map(str, words)))
        if done.returncode:
            raise RuntimeError(done.stdout.strip()[-3000:])

    def run(self, words: list[str]) -> subprocess.CompletedProcess:
        return subprocess.run(words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=SECONDS)

    def check_unchanged(self, mutations: list[Mutation]) -> None:
        """RuntimeError unless all the tests pass on the sources as they are:
        a test that fails anyway notices nothing."""
        self.call(self.build / "checkasm")
        tests = sorted({test for mutation in mutations for test in mutation.tests})
        if tests:
            self.call(*PYTEST, *tests)

    def try_one(self, mutation: Mutation) -> tuple[str, str]:
        """(KILLED, SURVIVED or STALE, what noticed it)."""
        path = self.folder / mutation.file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text.count(mutation.old) != 1:
            return STALE, f"{mutation.file} has the text {text.count(mutation.old)} times"
        path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
        try:
            return self.verdict(mutation)
        finally:
            path.write_text(text, encoding="utf-8")

    def verdict(self, mutation: Mutation) -> tuple[str, str]:
        if mutation.file.startswith("cbackend"):
            targets = ["checkasm"] if mutation.tests is CHECKASM else ["wisp_shared"]
            try:
                self.call("cmake", "--build", self.build, "--target", *targets)
            except RuntimeError as error:
                return STALE, f"does not compile: {str(error).splitlines()[-1]}"
        if mutation.tests is CHECKASM:
            command = [str(self.build / "checkasm")]
        else:
            command = [*PYTEST, *mutation.tests]
        try:
            done = self.run(command)
        except subprocess.TimeoutExpired:
            return KILLED, "time limit"
        if done.returncode == 0:
            return SURVIVED, ""
        if mutation.tests is not CHECKASM and done.returncode in (4, 5):  # pytest: no such file, no such test
            return STALE, f"cannot run {' '.join(mutation.tests)}"
        noticed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return KILLED, noticed[-1] if noticed else f"status {done.returncode}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--list", action="store_true", help="print the mutations and what should notice them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    chosen = [m for m in MUTATIONS if any(word in m.name or word in m.file for word in arguments.words or [""])]
    if arguments.list:
        for m in chosen:
            print(f"{m.name}: {m.file}: {m.equivalent or ' '.join(m.tests) or 'checkasm'}")
        return 0
    shutil.rmtree(WORK, ignore_errors=True)
    Tree(WORK / "unchanged").check_unchanged(chosen)
    queue, lock, bad, counts = list(reversed(chosen)), threading.Lock(), [], {KILLED: 0, SURVIVED: 0, STALE: 0}

    def work(number: int) -> None:
        tree = Tree(WORK / str(number))
        while True:
            with lock:
                if not queue:
                    return
                mutation = queue.pop()
            result, why = tree.try_one(mutation)
            with lock:
                counts[result] += 1
                right = result == (SURVIVED if mutation.equivalent else KILLED)
                bad.extend([] if right else [mutation.name])
                note = f"equivalent: {mutation.equivalent}" if mutation.equivalent else why
                print(f"{result:8} {mutation.name:45} {note[:120]}", flush=True)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(max(1, min(arguments.jobs, len(chosen))))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    shutil.rmtree(WORK, ignore_errors=True)
    unfinished = len(chosen) - sum(counts.values())
    equivalent = sum(bool(m.equivalent) for m in chosen)
    print(f"{counts[KILLED]} killed, {equivalent} equivalent, {len(bad)} not as they should be, {unfinished} not tried")
    for name in bad:
        print(f"  {name}")
    return 1 if bad or unfinished else 0


if __name__ == "__main__":
    sys.exit(main())
