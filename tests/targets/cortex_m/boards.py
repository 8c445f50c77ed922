"""Runs Wisp on emulated Cortex-M boards: checkasm, fingerprints of models, flash sizes.

usage: boards.py [--boards m4,m7,m33,m55] [--build DIR] [--gain G] [MODEL.wisp ...]

Needs clang-19, lld-19, picolibc-arm-none-eabi, cmake, ninja, qemu-system-arm 7.2 or later and this Python to have wisp.
Exit status 1 when anything fails."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
EXAMPLE = ROOT / "cbackend" / "examples" / "microcontroller"
MACHINES = {"m4": "mps2-an386", "m7": "mps2-an500", "m33": "mps2-an505", "m55": "mps3-an547"}
TOOLS = ("clang-19", "ld.lld-19", "arm-none-eabi-gcc", "/usr/lib/picolibc", "cmake", "ninja", "make", "qemu-system-arm",
         "llvm-size-19")
MACS = 64 * 64 * 256  # of one product in count.c


def call(*command: str | Path, **options) -> subprocess.CompletedProcess:
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if result.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result


def machine_options(board: str) -> list[str]:
    """For any image; the words after `arg=` are what main() finds from argv[1] on."""
    semihosting = "enable=on,target=native,arg=--seed,arg=1"
    return ["-M", MACHINES[board], "-nographic", "-monitor", "none", "-serial", "none",
            "-semihosting-config", semihosting]


def emulate(board: str, image: Path) -> str:
    """What the program wrote; semihosting goes to stderr."""
    result = call("qemu-system-arm", *machine_options(board), "-kernel", image, timeout=600)
    return result.stdout + result.stderr


def build_tests(board: str, build: Path) -> None:
    call("cmake", "-S", HERE, "-B", build, "-G", "Ninja",
         f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/cbackend/cmake/cortex-{board}.cmake", "-DWISP_WERROR=ON")
    call("cmake", "--build", build)


def fingerprint(board: str, build: Path, model: Path, gain: str) -> tuple[str, int, int]:
    """SHA-256 of the outputs, bytes of session and arena, bytes of flash without the model."""
    folder = build / f"digest-{model.stem}"
    call("make", "-s", "-C", EXAMPLE, "image", f"MODEL={model}", f"BOARD={board}", f"BUILD={folder}",
         f"PYTHON={sys.executable}", f"PROGRAM={HERE / 'digest_main.c'}", f"EXTRA={HERE.parent / 'digest.c'}",
         f"EXTRA_CFLAGS=-I{HERE.parent} -DGAIN={gain}")
    digest, used = emulate(board, folder / "image.elf").split()
    sections = dict(re.findall(r"^(\.\S+)\s+(\d+)", call("llvm-size-19", "-A", folder / "image.elf").stdout,
                               re.MULTILINE))
    return digest, int(used), sum(int(sections.get(s, 0)) for s in (".text", ".ARM.exidx", ".data"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--boards", default=",".join(MACHINES))
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "cortex_m")
    parser.add_argument("--gain", default="1", help="of f32 inputs, see digest.h")
    arguments = parser.parse_args()
    missing = [tool for tool in TOOLS if not (shutil.which(tool) or Path(tool).is_dir())]
    if missing:
        print("skipped: Cortex-M needs " + ", ".join(missing))
        return 0
    failed = False
    digests: dict[Path, set[str]] = {}
    for board in arguments.boards.split(","):
        build = arguments.build.resolve() / board
        try:
            build_tests(board, build)
            print(f"{board} checkasm: {emulate(board, build / 'checkasm').splitlines()[-1]}")
            for model in arguments.models:
                digest, used, flash = fingerprint(board, build, model.resolve(), arguments.gain)
                digests.setdefault(model, set()).add(digest)
                print(f"{board} {model.stem}: {digest} session and arena {used} flash {flash}", flush=True)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"{board} FAILED: {error}")
            failed = True
    for model, found in digests.items():
        if len(found) > 1:
            print(f"FAILED: {model.stem} differs between boards")
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
