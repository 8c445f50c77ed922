"""One file, every target, the same integers: the SHA-256 of int8 networks' outputs, target by target.

    python tests/targets/run.py [TARGET...] [--network NAME]... [--json FILE] [--wrong-rounding]

Builds the runtime for each target, runs checkasm and the networks on it (under an emulator where the processor is
another) and compares with portable C on this machine. A target whose compiler or emulator is missing is skipped, loudly
and counted. Exit status 1 if any fingerprint differs or a program fails. --wrong-rounding is the control: one kernel of
a copy of the sources rounds halves down, and the command must fail.
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "targets"
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests"), str(ROOT / "tests" / "targets" / "cortex_m")]

import boards  # noqa: E402


@dataclass
class Network:
    """An int8 file and the factor that brings the test input into its range."""

    name: str
    path: Path
    gain: float


class DoesNotFit(Exception):
    """The board has too little memory for the network."""


def command(*words, timeout: int = 900, stderr: int = subprocess.PIPE) -> str:
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=timeout)
    if done.returncode:
        raise RuntimeError((done.stdout + (done.stderr or "")).strip()[-2000:]
                           or f"{words[0]}: exit status {done.returncode}")
    return done.stdout


def cmake(folder: Path, *options, source: Path = ROOT / "cbackend", targets: tuple[str, ...] = ()) -> Path:
    command("cmake", "-S", source, "-B", folder, "-G", "Ninja", *options)
    command("cmake", "--build", folder, *(["--target", *targets] if targets else []))
    return folder


def missing(target) -> list[str]:
    """Programs and folders that the target needs and this machine lacks."""
    return [need for need in target.needs if not (Path(need).exists() if "/" in need else shutil.which(need))]


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


# ---- the kinds of target: build(); checkasm() returns its last line; digest() is one fingerprint


@dataclass
class Program:
    """A processor with an operating system: digest and checkasm are programs, started by an emulator if need be."""

    name: str
    folder: str
    options: list[str]
    needs: list[str]
    emulator: list[str] = field(default_factory=list)
    sets: tuple[str, ...] = ("all",)
    threads: tuple[int, ...] = (1, 2, 3)
    source: Path = ROOT / "cbackend"

    def build(self) -> None:
        cmake(BUILD / self.folder, "-DWISP_BUILD_TESTS=ON", *self.options, source=self.source,
              targets=("digest", "checkasm"))

    def checkasm(self) -> str:
        return last_line(command(*self.emulator, self.binary("checkasm")))

    def binary(self, name: str) -> Path:
        return BUILD / self.folder / name

    def digest(self, network: Network, isa: str, threads: int) -> str:
        return command(*self.emulator, self.binary("digest"), network.path, network.gain, threads, isa).split()[0]


@dataclass
class Board:
    """A Cortex-M board: an image for each network, with only the operators it uses."""

    name: str
    board: str
    needs = boards.TOOLS
    sets = ("all",)
    threads = (1,)

    @property
    def folder(self) -> Path:
        return BUILD / self.board

    def build(self) -> None:
        boards.build_tests(self.board, self.folder)

    def checkasm(self) -> str:
        return last_line(boards.emulate(self.board, self.folder / "checkasm"))

    def digest(self, network: Network, isa: str, threads: int) -> str:
        try:
            return boards.fingerprint(self.board, self.folder, network.path, str(network.gain))[0]
        except RuntimeError as error:
            if "will not fit in region" in str(error):
                raise DoesNotFit from None
            raise


@dataclass
class Module:
    """WebAssembly in node: the module through its JavaScript wrapper, checkasm under WASI."""

    name: str = "wasm"
    needs = ("clang-19", "wasm-ld-19", "node", "/usr/include/wasm32-wasi")
    sets = ("scalar", "simd128")
    threads = (1,)

    def build(self) -> None:
        toolchains = ROOT / "cbackend" / "cmake"
        cmake(BUILD / "wasm", f"-DCMAKE_TOOLCHAIN_FILE={toolchains}/wasm.cmake")
        cmake(BUILD / "wasi", f"-DCMAKE_TOOLCHAIN_FILE={toolchains}/wasi.cmake", "-DWISP_BUILD_TESTS=ON",
              targets=("checkasm",))

    def checkasm(self) -> str:
        return last_line(self.node("wasi.mjs", BUILD / "wasi" / "checkasm"))

    def digest(self, network: Network, isa: str, threads: int) -> str:
        return self.node("digest.mjs", BUILD / "wasm" / "wisp.js", BUILD / "wasm" / "wisp.wasm", network.path,
                         network.gain, isa).split()[0]

    def node(self, script: str, *arguments) -> str:
        return command("node", "--no-warnings", ROOT / "tests" / "targets" / "wasm" / script, *arguments)


@dataclass
class EmulatedAvx512:
    """AVX-512 VNNI on a machine without it: one boot of an emulated computer for all networks."""

    networks: list[Network]
    name: str = "avx512 emulated"
    needs = ("apt-get",)
    sets = ("avx512vnni",)
    threads = (1, 2, 3)

    def build(self) -> None:
        folder, files = BUILD / "native", [word for n in self.networks for word in ("-d", n.path)]
        cases = [(n, t) for n in self.networks for t in self.threads]
        programs = [f"{folder}/digest {n.path.name} {n.gain} {t} avx512vnni" for n, t in cases]
        script = ROOT / "tests" / "targets" / "avx512.sh"
        lines = command("bash", script, *files, f"{folder}/checkasm --isa avx512vnni", *programs).splitlines()
        digests = [line.split()[0] for line in lines if line and len(line.split()[0]) == 64]
        self.results = dict(zip(((n.name, t) for n, t in cases), digests, strict=True))
        self.checks = next(line for line in lines if " passed, " in line)

    def checkasm(self) -> str:
        return self.checks

    def digest(self, network: Network, isa: str, threads: int) -> str:
        return self.results[network.name, threads]


def toolchain(name: str) -> str:
    return f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/cbackend/cmake/{name}.cmake"


STATIC = "-DCMAKE_EXE_LINKER_FLAGS=-static"
NATIVE = Program(platform.machine(), "native", [STATIC], ["cc"], sets=("scalar", "all"))
if platform.machine() == "x86_64":
    flags = Path("/proc/cpuinfo").read_text()
    NATIVE.sets = ("scalar", *(s for s, flag in (("avx2", " avx2 "), ("avx512vnni", " avx512_vnni ")) if flag in flags))


def all_targets(networks: list[Network]) -> list:
    aarch64 = ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
               "-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc", STATIC]
    targets = [NATIVE]
    if platform.machine() == "x86_64" and "avx512vnni" not in NATIVE.sets:
        targets.append(EmulatedAvx512(networks))
    for cpu in ("cortex-a53", "cortex-a72", "cortex-a76", "max"):
        sets = ("scalar", "all") if cpu == "cortex-a53" else ("all",)
        needs = ["aarch64-linux-gnu-gcc", "qemu-aarch64"]
        targets.append(Program(f"aarch64 {cpu}", "aarch64", aarch64, needs, ["qemu-aarch64", "-cpu", cpu], sets))
    for name, cpu, system in (("armv7", "cortex-a7", "gnueabihf"), ("armv6", "arm1176", "gnueabi")):
        needs = ["clang-19", "qemu-arm", f"/usr/arm-linux-{system}/include"]
        targets.append(Program(f"{name} {cpu}", name, [toolchain(name)], needs, ["qemu-arm", "-cpu", cpu]))
    for bits in (128, 256, 512):
        cpu = f"rv64,v=true,vlen={bits},vext_spec=v1.0"
        needs = ["clang-19", "qemu-riscv64", "/usr/riscv64-linux-gnu/include"]
        targets.append(Program(f"riscv64 vlen {bits}", "riscv64", [toolchain("riscv64")], needs,
                               ["qemu-riscv64", "-cpu", cpu]))
    targets.append(Program("hexagon hvx", "hexagon", [toolchain("hexagon")], ["clang-19", "qemu-hexagon"],
                           ["qemu-hexagon"], threads=(1,)))
    targets += [Board(f"cortex-{board}", board) for board in ("m4", "m7", "m33", "m55")]
    return [*targets, Module()]


def wrong_rounding() -> Program:
    """This machine's AVX2 kernels with one constant changed: (p + 63) >> 7 for (p + 64) >> 7."""
    copy = BUILD / "wrong_rounding"
    shutil.rmtree(copy, ignore_errors=True)
    for part in ("cbackend", "tests"):
        shutil.copytree(ROOT / part, copy / part)
    header = copy / "cbackend" / "src" / "arch" / "avx2" / "avx2.h"
    right = header.read_text()
    wrong = right.replace("_mm256_set1_epi16(64)", "_mm256_set1_epi16(63)")
    if wrong == right:
        raise RuntimeError(f"{header.name} has no rounding constant to change")
    header.write_text(wrong)
    return Program("wrong rounding", "wrong_rounding/build", [STATIC], ["cc"], sets=("avx2",), source=copy / "cbackend")


# ---- networks


def audio_network():
    """A 1D convolutional keyword spotter on 1 s of 16 kHz audio, with seeded weights."""
    from support import make_model

    rng = np.random.default_rng(11)
    nodes, constants, last, channels = [], {}, "x", 1
    layers = [(32, 40, 16, 1), (32, 9, 2, 32), (64, 1, 1, 1), (64, 9, 2, 64), (64, 1, 1, 1), (64, 5, 4, 1)]
    for i, (n, kernel, stride, group) in enumerate(layers):
        shape = (n, channels // group, kernel)
        constants[f"w{i}"] = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        constants[f"b{i}"] = rng.standard_normal(n).astype(np.float32) * np.float32(0.1)
        attributes = dict(strides=[stride], group=group, pads=[kernel // 2, kernel // 2])
        nodes += [("Conv", [last, f"w{i}", f"b{i}"], [f"c{i}"], attributes), ("Relu", [f"c{i}"], [f"r{i}"])]
        last, channels = f"r{i}", n
    constants["w"] = rng.standard_normal((64, 12)).astype(np.float32)
    nodes += [("GlobalAveragePool", [last], ["p"]), ("Flatten", ["p"], ["f"]), ("Gemm", ["f", "w"], ["y"])]
    return make_model(nodes, {"x": [1, 1, 16000]}, ["y"], constants)


def quantized_networks(names: list[str] | None) -> list[Network]:
    """The named ones; all, if none is named."""
    import fetch
    import mobilenet
    import wisp
    from wisp_converter import convert

    sources = {"mobilenet_v2": (mobilenet.onnx_path, 1.0), "yunet": (lambda: fetch.fetch("yunet.onnx"), 64.0),
               "mnist_cnn": (lambda: fetch.fetch("mnist_cnn.onnx"), 64.0), "audio_1d": (audio_network, 0.5)}
    networks = []
    for name in names or sources:
        source, gain = sources[name]
        model = source()
        model = str(model) if isinstance(model, Path) else model
        info = wisp.load(convert(model, verify=False)).inputs[0]
        rng = np.random.default_rng(2)
        samples = [{info.name: (gain * rng.uniform(-2, 2, info.shape)).astype(np.float32)} for _ in range(3)]
        path = BUILD / f"{name}.wisp"
        path.write_bytes(convert(model, quantize="int8", calibration=samples, verify=False))
        networks.append(Network(name, path, gain))
    return networks


# ---- the table


class Table:
    """Prints rows as they come and counts them."""

    def __init__(self, networks: list[Network]):
        self.networks, self.rows, self.passed, self.failed, self.skipped = networks, [], 0, 0, 0
        NATIVE.build()
        self.expected = {n.name: NATIVE.digest(n, "scalar", 1) for n in networks}
        for name, digest in self.expected.items():
            print(f"{name:13} {digest}")
        print(f"\n{'target':20} {'set':11} {'threads':7} " + " ".join(f"{n.name:17}" for n in networks))

    def add(self, target) -> None:
        if missing(target):
            self.skipped += 1
            print(f"{target.name:20} SKIPPED: needs {', '.join(missing(target))}", flush=True)
            return
        if self.holds(target.name, target.build):
            self.holds(target.name, lambda: print(f"{target.name:20} checkasm: {target.checkasm()}", flush=True))
            for isa in target.sets:
                for threads in target.threads:
                    self.holds(target.name, lambda: self.add_row(target, isa, threads))

    def holds(self, name: str, action) -> bool:
        try:
            action()
            return True
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            self.failed += 1
            print(f"{name:20} FAILED: {error}", flush=True)
            return False

    def add_row(self, target, isa: str, threads: int) -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(lambda network: self.digest(target, network, isa, threads), self.networks))
        digests = {network.name: digest for network, digest in zip(self.networks, found) if digest}
        marks = [self.mark(network, digest) for network, digest in zip(self.networks, found)]
        equal = bool(digests) and all(digest == self.expected[name] for name, digest in digests.items())
        self.passed, self.failed = self.passed + equal, self.failed + (not equal)
        self.rows.append({"target": target.name, "set": isa, "threads": threads, "digests": digests, "equal": equal})
        print(f"{target.name:20} {isa:11} {threads:7} " + " ".join(marks), flush=True)

    def mark(self, network: Network, digest: str | None) -> str:
        if not digest:
            return f"{'does not fit':17}"
        return f"{digest[:12]} {'ok  ' if digest == self.expected[network.name] else 'BAD '}"

    @staticmethod
    def digest(target, network: Network, isa: str, threads: int) -> str | None:
        try:
            return target.digest(network, isa, threads)
        except DoesNotFit:
            return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="words of the target's name; default: all")
    parser.add_argument("--network", action="append", choices=("mobilenet_v2", "yunet", "mnist_cnn", "audio_1d"),
                        help="default: all four")
    parser.add_argument("--json", type=Path, help="also write the rows, with whole fingerprints, to this file")
    parser.add_argument("--wrong-rounding", action="store_true", help="only the control, which must fail")
    arguments = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    BUILD.mkdir(parents=True, exist_ok=True)
    networks = quantized_networks(arguments.network)
    table = Table(networks)
    targets = [wrong_rounding()] if arguments.wrong_rounding else all_targets(networks)
    for target in targets:
        if not arguments.targets or any(word in target.name for word in arguments.targets):
            table.add(target)
    if arguments.json:
        arguments.json.write_text(json.dumps(table.rows, indent=1))
    print(f"{table.passed} passed, {table.failed} failed, {table.skipped} skipped")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
