"""Fuzzes the runtime with hostile files: libFuzzer of clang 19, sanitizers, and edits that know the format.

usage: run.py FOLDER [--seconds N] [--jobs N] [--sanitize address,undefined|thread|memory]

FOLDER/seeds holds what seeds.py wrote; FOLDER/corpus, kept between calls, grows by every input that reaches a new
branch. Then the corpus runs once more to count the branches it reached, printed by folder. A finding stops its job: the
file that makes it stands in FOLDER/found, and FOLDER/BUILD/fuzz FILE repeats it. Exit status 1 where there is one.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CBACKEND = HERE.parent.parent / "cbackend"
COMPILER = "clang-19"
COVERAGE = "-fprofile-instr-generate -fcoverage-mapping"
LIMITS = ["-max_len=32768", "-timeout=30", "-rss_limit_mb=3000", "-report_slow_units=30"]


def call(*command: str | Path, **options) -> subprocess.CompletedProcess:
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    if result.returncode:
        sys.exit(f"{command[0]}: {result.stdout[-3000:]}{result.stderr[-3000:]}")
    return result


def build(folder: Path, library_flags: str, program_flags: str) -> Path:
    """The fuzzer, linked with a library built for it;
    the optimizer is held back so that sanitizers see what is written."""
    optimize = ["-DWISP_CORE_OPTIMIZE=-O1", "-DWISP_SCALAR_OPTIMIZE=-O1"]
    call("cmake", "-S", CBACKEND, "-B", folder, "-G", "Ninja", f"-DCMAKE_C_COMPILER={COMPILER}",
         f"-DCMAKE_C_FLAGS={library_flags}", *optimize)
    call("cmake", "--build", folder, "--target", "wisp_static")
    program = folder / "fuzz"
    call(COMPILER, "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", *program_flags.split(),
         f"-I{CBACKEND / 'include'}", f"-I{CBACKEND / 'src'}", *sorted(HERE.glob("*.c")), folder / "libwisp.a", "-lm",
         "-pthread", "-o", program)
    return program


def fuzz(program: Path, folder: Path, seconds: int, jobs: int) -> list[Path]:
    """The files of all findings, those of earlier calls included as long as they still are findings."""
    corpus, found = folder / "corpus", folder / "found"
    for path in (corpus, found):
        path.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # threads of the pool live to the end
    for path in found.iterdir():
        if not subprocess.run([program, *LIMITS, path], env=environment, capture_output=True).returncode:
            path.unlink()
    command = [program, corpus, folder / "seeds", *LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={found}/",
               "-print_final_stats=1"]
    running = []
    for job in range(jobs):
        with open(folder / f"job{job}.log", "wb") as log:
            running.append(subprocess.Popen(list(map(str, command)), env=environment, stdout=log,
                                            stderr=subprocess.STDOUT))
    for job, process in enumerate(running):
        status, log = process.wait(), folder / f"job{job}.log"
        lines = log.read_text(errors="replace").splitlines()
        print(f"job {job}:", next((line for line in lines if "number_of_executed_units" in line),
                                  f"stopped with status {status}, see {log}"))
        for line in lines:
            if (line.startswith(("finding:", "SUMMARY:")) or "runtime error:" in line
                    or "ERROR: AddressSanitizer" in line):
                print("   ", line)
    if any(process.returncode for process in running) and not any(found.iterdir()):
        sys.exit("the fuzzer itself failed")
    return sorted(path for path in found.iterdir() if not path.name.startswith("slow"))


def print_coverage(program: Path, folder: Path) -> None:
    """Lines and branches that seeds and corpus reach, by folder of the runtime;
    instruction sets this machine lacks count too."""
    profile = folder / "coverage.profraw"
    command = [program, "-runs=0", *LIMITS, folder / "corpus", folder / "seeds"]
    call(*command, env={**os.environ, "LLVM_PROFILE_FILE": str(profile)})
    merged = profile.with_suffix(".profdata")
    call("llvm-profdata-19", "merge", "-sparse", profile, "-o", merged)
    report = json.loads(call("llvm-cov-19", "export", "-summary-only", f"-instr-profile={merged}", program).stdout)
    totals: dict[str, dict[str, list[int]]] = {}
    for file in report["data"][0]["files"]:
        path = Path(file["filename"])
        if CBACKEND not in path.parents:
            continue
        for kind in ("lines", "branches"):
            total = totals.setdefault(str(path.parent.relative_to(CBACKEND)), {}).setdefault(kind, [0, 0])
            total[0] += file["summary"][kind]["covered"]
            total[1] += file["summary"][kind]["count"]
    for name, kinds in sorted(totals.items()):
        print(f"{name:24}", "   ".join(f"{kind} {done} of {count} ({done / max(count, 1):.1%})"
                                       for kind, (done, count) in kinds.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sanitize", default="address,undefined")
    options = parser.parse_args()
    folder = options.folder.resolve()
    strict = "-g -fno-omit-frame-pointer -fno-sanitize-recover=undefined"
    program = build(folder / options.sanitize.replace(",", "-"),
                    f"{strict} -fsanitize=fuzzer-no-link,{options.sanitize}",
                    f"{strict} -fsanitize=fuzzer,{options.sanitize}")
    findings = fuzz(program, folder, options.seconds, options.jobs)
    if findings:
        print(*(f"found {path}" for path in findings), sep="\n")
        return 1
    print_coverage(build(folder / "coverage", f"-g {COVERAGE}", f"-fsanitize=fuzzer {COVERAGE}"), folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
