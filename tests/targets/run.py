"""One file, every target, the same integers: the SHA-256 of int8 networks' outputs, target by target.

    python tests/targets/run.py [TARGET...] [--json FILE]

Builds the runtime for each target, runs tests/targets/digest on it (under an emulator where the processor is another) and
compares with portable C on this machine. A target whose compiler or emulator is missing is skipped, loudly and counted. Exit status 1 if
any fingerprint differs or a program fails.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "targets"
sys.path.insert(0, str(ROOT / "benchmarks"))
THREADS = (1, 2, 3)


@dataclass
class Target:
    """How to build for a processor and what to put before the program to run it."""

    name: str
    options: list[str]
    needs: list[str]
    emulator: list[str]
    sets: list[str]  # instruction sets of the runtime to run with


AARCH64 = ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", "-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc",
           "-DCMAKE_EXE_LINKER_FLAGS=-static"]
RISCV64 = [f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/cbackend/cmake/riscv64.cmake"]


def aarch64(cpu: str) -> Target:
    return Target(f"aarch64 {cpu}", AARCH64, ["aarch64-linux-gnu-gcc", "qemu-aarch64"], ["qemu-aarch64", "-cpu", cpu], ["scalar", "all"])


def riscv64(bits: int) -> Target:
    cpu = f"rv64,v=true,vlen={bits},vext_spec=v1.0"
    return Target(f"riscv64 vlen {bits}", RISCV64, ["clang-19", "qemu-riscv64"], ["qemu-riscv64", "-cpu", cpu], ["all"])


TARGETS = [
    Target(platform.machine(), ["-DCMAKE_EXE_LINKER_FLAGS=-static"], ["cc"], [], ["scalar", "avx2", "avx512vnni"]),
    *map(aarch64, ("cortex-a53", "cortex-a72", "cortex-a76", "max")),
    *map(riscv64, (128, 256, 512)),
]


# ---- models


def audio_network():
    """A 1D convolutional keyword spotter on 1 s of 16 kHz audio, with seeded weights."""
    from support import make_model

    rng = np.random.default_rng(11)
    nodes, constants, last, channels = [], {}, "x", 1
    for i, (n, kernel, stride, group) in enumerate([(32, 40, 16, 1), (32, 9, 2, 32), (64, 1, 1, 1), (64, 9, 2, 64), (64, 1, 1, 1), (64, 5, 4, 1)]):
        shape = (n, channels // group, kernel)
        constants[f"w{i}"] = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        constants[f"b{i}"] = rng.standard_normal(n).astype(np.float32) * np.float32(0.1)
        attributes = dict(strides=[stride], group=group, pads=[kernel // 2, kernel // 2])
        nodes += [("Conv", [last, f"w{i}", f"b{i}"], [f"c{i}"], attributes), ("Relu", [f"c{i}"], [f"r{i}"])]
        last, channels = f"r{i}", n
    constants["w"] = rng.standard_normal((64, 12)).astype(np.float32)
    nodes += [("GlobalAveragePool", [last], ["p"]), ("Flatten", ["p"], ["f"]), ("Gemm", ["f", "w"], ["y"])]
    return make_model(nodes, {"x": [1, 1, 16000]}, ["y"], constants)


def models() -> dict[str, tuple[Path, float]]:
    """int8 files and the gain of their input."""
    import fetch
    import mobilenet
    import wisp
    from wisp_converter import convert

    sys.path.insert(0, str(ROOT / "tests"))
    sources = {"mobilenet_v2": (mobilenet.onnx_path(), 1.0), "yunet": (fetch.fetch("yunet.onnx"), 64.0),
               "mnist_cnn": (fetch.fetch("mnist_cnn.onnx"), 64.0), "audio_1d": (audio_network(), 0.5)}
    result = {}
    for name, (source, gain) in sources.items():
        model = str(source) if isinstance(source, Path) else source
        info = wisp.load(convert(model, verify=False)).inputs[0]
        rng = np.random.default_rng(2)
        samples = [{info.name: (gain * rng.uniform(-2, 2, info.shape)).astype(np.float32)} for _ in range(3)]
        path = BUILD / f"{name}.wisp"
        path.write_bytes(convert(model, quantize="int8", calibration=samples, verify=False))
        result[name] = path, gain
    return result


# ---- building and running


def build(target: Target) -> Path:
    folder = BUILD / target.name.split()[0]
    configure = ["cmake", "-S", ROOT / "cbackend", "-B", folder, "-G", "Ninja", "-DWISP_BUILD_TESTS=ON", *target.options]
    for command in (configure, ["cmake", "--build", folder, "--target", "digest", "checkasm"]):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError((done.stdout + done.stderr)[-2000:])
    return folder


def run(command: list) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"exit status {done.returncode}")
    return done.stdout.split()[0]


def emulated_avx512(folder: Path, files: dict[str, tuple[Path, float]]) -> dict[tuple[str, int], str]:
    """The fingerprints, and checkasm, on an emulated machine with AVX-512 VNNI: one boot for all."""
    cases = [(name, threads) for name in files for threads in THREADS]
    programs = [f"{folder}/digest {files[name][0].name} {files[name][1]} {threads} avx512vnni" for name, threads in cases]
    command = ["bash", ROOT / "tests" / "targets" / "avx512.sh"]
    for path, _ in files.values():
        command += ["-d", path]
    done = subprocess.run([*map(str, command), f"{folder}/checkasm --isa avx512vnni", *programs], capture_output=True, text=True)
    lines = [line.split()[0] for line in done.stdout.splitlines() if len(line.split()[:1]) and len(line.split()[0]) == 64]
    checks = [line for line in done.stdout.splitlines() if " passed, " in line]
    print(f"  checkasm on emulated AVX-512: {checks[0] if checks else 'did not finish'}")
    if done.returncode or len(lines) != len(cases):
        raise RuntimeError((done.stdout + done.stderr)[-1500:])
    return dict(zip(cases, lines))


def has_avx512vnni() -> bool:
    return "avx512_vnni" in Path("/proc/cpuinfo").read_text()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="words of the target's name; default: all")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    BUILD.mkdir(parents=True, exist_ok=True)
    files = models()
    chosen = [t for t in TARGETS if not arguments.targets or any(a in t.name for a in arguments.targets)]
    host = build(TARGETS[0])
    expected = {name: run([host / "digest", path, gain, 1, "scalar"]) for name, (path, gain) in files.items()}
    rows, passed, failed, skipped = [], 0, 0, 0
    print(f"{'target':18} {'set':11} {'threads':7} " + " ".join(f"{n:16}" for n in files))
    for target in chosen:
        missing = [p for p in target.needs if not shutil.which(p)]
        if missing:
            skipped += 1
            print(f"{target.name:18} SKIPPED: needs {', '.join(missing)}")
            continue
        for isa in target.sets:
            try:
                folder = build(target)
                emulated = emulated_avx512(folder, files) if isa == "avx512vnni" and not has_avx512vnni() else None
                for threads in THREADS:
                    got = {name: emulated[name, threads] if emulated else run([*target.emulator, folder / "digest", path, gain, threads, isa])
                           for name, (path, gain) in files.items()}
                    equal = got == expected
                    passed, failed = passed + equal, failed + (not equal)
                    rows.append({"target": target.name, "set": isa, "threads": threads, "digests": got, "equal": equal})
                    marks = " ".join(f"{d[:12]}{'  ok' if d == expected[n] else ' BAD'}" for n, d in got.items())
                    print(f"{target.name:18} {isa:11} {threads:7} {marks}", flush=True)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                failed += 1
                print(f"{target.name:18} {isa:11} FAILED: {error}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
