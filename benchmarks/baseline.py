"""Two builds of Wisp side by side: bits, instructions, time and memory of three networks, in int8 and float.

    python benchmarks/baseline.py [--against FOLDER] [--network NAME]... [--threads N]... [--rounds N] [--seconds S]
                                  [--no-counts] [--no-times] [--json FILE]

FOLDER is another working copy of Wisp; both need their environment (`make .venv/test.done`). Each converts
MobileNet-v2, YuNet and a ResNet-50 with its own converter, once, and runs them with its own library in a process of its
own, so their file formats may differ. Printed for each: SHA-256 of the outputs; arena and session bytes; medians of
wisp_prepare + wisp_bind and of wisp_run, the builds in turn; millions of instructions of one inference on one thread,
emulated. A ratio of times is the median of the rounds' ratios, FOLDER's time being 1. Exit status 1 if int8 outputs
depend on the threads or differ between the builds, or if an emulator or compiler is missing. Without --against:
this build alone.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
NETWORKS, KINDS = ("mobilenet_v2", "yunet", "resnet50"), ("int8", "float")
PREPARES = 30  # a round


class Build:
    """A working copy with its environment, and the process that answers for it."""

    def __init__(self, name: str, folder: Path):
        self.name, self.folder, self.cache = name, folder, folder / "build" / "baseline"
        self.cache.mkdir(parents=True, exist_ok=True)
        sources = sorted(p for part in ("converter", "cbackend")
                         for p in (folder / part).rglob("*") if p.suffix in (".py", ".c", ".h", ".def"))
        self.version = hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:12]
        python, worker = folder / ".venv" / "bin" / "python", Path(__file__).with_name("baseline_worker.py")
        self.process = subprocess.Popen([python, worker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, do: str, **question) -> dict:
        print(json.dumps({"do": do, **question}), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.name}: the process has ended, see above")
        return json.loads(answer)

    def file(self, network: str, kind: str, source: Path) -> str:
        """The network as this build's converter writes it; made once for each state of the sources."""
        path = self.cache / f"{network}_{kind}_{self.version}.wisp"
        self.ask("convert", network=network, source=str(source), kind=kind, path=str(path))
        return str(path)


def source_of(network: str, cache: Path) -> Path:
    import fetch
    import mobilenet
    import resnet50

    if network == "mobilenet_v2":
        return mobilenet.onnx_path()
    if network == "yunet":
        return fetch.fetch("yunet.onnx")
    path = cache / "resnet50.onnx"
    if not path.exists():
        path.write_bytes(resnet50.build().SerializeToString(deterministic=True))
    return path


class Counter:
    """Counts instructions of the digest program of each build with tests/targets/counts."""

    # float kernels are the same for all three
    CORES = {"int8": ("cortex-a53", "cortex-a72", "cortex-a76"), "float": ("cortex-a53",)}

    def __init__(self, builds: list[Build]):
        sys.path[:0] = [str(ROOT / "tests" / "targets"), str(ROOT / "tests")]
        import counts
        from run import STATIC, cmake, command

        os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        counts.BUILD.mkdir(parents=True, exist_ok=True)
        command("gcc", "-O2", "-shared", "-fPIC", "-o", counts.PLUGIN, counts.HERE / "counts" / "icount.c")
        self.count = counts.count
        arm = ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
               "-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc"]
        for build in builds:
            cmake(build.cache / "aarch64", "-DWISP_BUILD_TESTS=ON", STATIC, *arm, source=build.folder / "cbackend",
                  targets=("digest",))

    def cores(self, network: str, kind: str) -> tuple[str, ...]:
        # 4 billion emulated float products take minutes
        return () if (network, kind) == ("resnet50", "float") else self.CORES[kind]

    def millions(self, build: Build, path: str, core: str) -> float:
        return self.count(["qemu-aarch64", "-cpu", core], build.cache / "aarch64" / "digest", path, 1, 1, "all")[0]


def measure_times(builds: list[Build], row: dict, paths: list[str], arguments) -> None:
    """Medians and the ratio of the two builds, asked in turn; who is first changes every round."""
    for what, question in (("run", {"do": "time_runs", "seconds": arguments.seconds}),
                           ("prepare", {"do": "time_prepares", "count": PREPARES})):
        rounds = np.zeros((arguments.rounds, len(builds)))
        for i in range(arguments.rounds):
            for b in list(range(len(builds)))[:: 1 if i % 2 else -1]:
                answer = builds[b].ask(**question, network=row["network"], path=paths[b], threads=row["threads"])
                rounds[i, b] = answer["ms"]
        for build, ms in zip(builds, np.median(rounds, axis=0)):
            row[build.name][f"{what}_ms"] = float(ms)
        if len(builds) == 2:
            row[f"{what}_ratio"] = float(np.median(rounds[:, 0] / rounds[:, 1]))


def measure(builds: list[Build], arguments) -> list[dict]:
    rows = []
    counter = None if arguments.no_counts else Counter(builds)
    print(f"{'network':13} {'dtype':6} threads {'build':8} {'sha256':13} {'arena':>9} {'session':>8} "
          f"{'prepare ms':>10} {'run ms':>9}   ratio")
    for network in arguments.network or NETWORKS:
        source = source_of(network, builds[0].cache)
        for kind in KINDS:
            paths = [build.file(network, kind, source) for build in builds]
            for threads in arguments.threads or (1, 2):
                row = {"network": network, "kind": kind, "threads": threads}
                for build, path in zip(builds, paths):
                    row[build.name] = build.ask("describe", network=network, path=path, threads=threads)
                if not arguments.no_times:
                    measure_times(builds, row, paths, arguments)
                rows.append(row)
                print_row(row, builds)
            if counter:
                for core in counter.cores(network, kind):
                    found = {b.name: counter.millions(b, path, core) for b, path in zip(builds, paths)}
                    rows[-1].setdefault("instructions", {})[core] = found
                    ratio = f"   {found['this'] / found['against']:.3f}" if len(builds) == 2 else ""
                    words = " ".join(f"{name} {millions:.1f}" for name, millions in found.items())
                    print(f"{network:13} {kind:6} {core}, millions of instructions: {words}{ratio}", flush=True)
    return rows


def print_row(row: dict, builds: list[Build]) -> None:
    for build in builds:
        r = row[build.name]
        times = f"{r['prepare_ms']:10.3f} {r['run_ms']:9.3f}" if "run_ms" in r else ""
        ratio = f"   {row['run_ratio']:.3f}" if build is builds[0] and "run_ratio" in row else ""
        print(f"{row['network']:13} {row['kind']:6} {row['threads']:7} {build.name:8} {r['sha256'][:12]:13} "
              f"{r['arena']:9} {r['session']:8} {times}{ratio}",
              flush=True)


def summary(rows: list[dict], builds: list[Build]) -> int:
    """Print what the rows say together; the exit status."""
    for name in ("run_ratio", "prepare_ratio"):
        for threads in sorted({r["threads"] for r in rows if name in r}):
            mean = np.exp(np.mean([np.log(r[name]) for r in rows if r["threads"] == threads and name in r]))
            print(f"geometric mean of {name} with {threads} thread{'s' * (threads > 1)}: {mean:.3f}")
    digests: dict[str, set] = {}
    for row in rows:
        if row["kind"] == "int8":
            digests.setdefault(row["network"], set()).update(row[b.name]["sha256"] for b in builds)
    different = [name for name, found in digests.items() if len(found) > 1]
    print(f"int8 outputs differ: {', '.join(different)}" if different
          else f"int8 outputs are the same bits everywhere: {', '.join(digests)}")
    return 1 if different else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, metavar="FOLDER")
    parser.add_argument("--network", action="append", choices=NETWORKS, help="default: all")
    parser.add_argument("--threads", action="append", type=int, help="default: 1 and 2")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.2, help="of runs, in a round")
    parser.add_argument("--no-counts", action="store_true")
    parser.add_argument("--no-times", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    builds = [Build("this", ROOT)] + ([Build("against", arguments.against.resolve())] if arguments.against else [])
    rows = measure(builds, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    return summary(rows, builds)


if __name__ == "__main__":
    sys.exit(main())
