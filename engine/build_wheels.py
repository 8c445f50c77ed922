"""Builds the wheels of every platform on this machine, with zig's C compiler:
python engine/build_wheels.py [--platform NAME]...

Each is the wheel `pip wheel .` makes, with the library built for another system and the tags of that system; one serves
every Python there. The same sources give the same bytes. Exit status 1 if a platform failed; the others are built.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Platform:
    """A wheel: its platform tags, and what cbackend/cmake/zig.cmake builds for. The number in a tag is the one in the
    target: the oldest C library or system that zig links against."""

    name: str
    tags: list[str]
    target: str
    cpu: str = ""


PLATFORMS = [
    Platform("manylinux_x86_64", ["manylinux_2_17_x86_64", "manylinux2014_x86_64"], "x86_64-linux-gnu.2.17"),
    Platform("manylinux_aarch64", ["manylinux_2_17_aarch64", "manylinux2014_aarch64"], "aarch64-linux-gnu.2.17"),
    Platform("manylinux_armv7l", ["manylinux_2_17_armv7l", "manylinux2014_armv7l"], "arm-linux-gnueabihf.2.17",
             "generic+v7a+vfp3d16-neon-d32"),  # NEON is chosen at run time
    # No manylinux has this processor.
    Platform("linux_armv6l", ["linux_armv6l"], "arm-linux-gnueabihf.2.17", "arm1176jzf_s+dsp"),
    Platform("musllinux_x86_64", ["musllinux_1_2_x86_64"], "x86_64-linux-musl"),
    Platform("musllinux_aarch64", ["musllinux_1_2_aarch64"], "aarch64-linux-musl"),
    Platform("macosx_arm64", ["macosx_11_0_arm64"], "aarch64-macos.11.0"),
    Platform("macosx_x86_64", ["macosx_10_13_x86_64"], "x86_64-macos.10.13"),
    Platform("win_amd64", ["win_amd64"], "x86_64-windows-gnu"),
    Platform("win_arm64", ["win_arm64"], "aarch64-windows-gnu"),
]


def build(platform: Platform, zig: Path, output: Path) -> Path:
    """The wheel's path. Raises RuntimeError with the end of the log."""
    work = ROOT / "build" / "wheels"
    settings = {
        "build-dir": str(work / "-".join(filter(None, (platform.target, platform.cpu)))),
        "wheel.tags": ";".join(f"py3-none-{tag}" for tag in platform.tags),
        "install.strip": "false",  # the linker does it; this machine's strip knows only its own format
        "cmake.define.CMAKE_TOOLCHAIN_FILE": str(ROOT / "cbackend" / "cmake" / "zig.cmake"),
        "cmake.define.WISP_ZIG": str(zig),
        "cmake.define.WISP_ZIG_TARGET": platform.target,
        "cmake.define.WISP_ZIG_CPU": platform.cpu,
        "cmake.define.WISP_WERROR": "ON",
    }
    fresh = work / platform.name
    shutil.rmtree(fresh, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-cache-dir",
               "--wheel-dir", fresh, ROOT]
    for key, value in settings.items():
        command += ["--config-settings", f"{key}={value}"]
    environment = {"SOURCE_DATE_EPOCH": "315532800", **os.environ}  # 1980, where the archive's calendar starts
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr)[-4000:])
    (wheel,) = fresh.glob("*.whl")
    output.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(wheel, output / wheel.name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--platform", action="append", choices=[p.name for p in PLATFORMS],
                        help="build only this one; may be repeated")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder of the wheels (default: dist)")
    arguments = parser.parse_args()
    try:
        import ziglang
    except ImportError:
        parser.error("needs zig's compiler: python -m pip install ziglang==0.17.1")
    zig = Path(ziglang.__path__[0]) / ("zig.exe" if os.name == "nt" else "zig")
    chosen = [p for p in PLATFORMS if not arguments.platform or p.name in arguments.platform]
    rows, failed = [], 0
    for i, platform in enumerate(chosen, 1):
        print(f"[{i}/{len(chosen)}] {platform.name} ...", flush=True)
        started = time.monotonic()
        try:
            wheel = build(platform, zig, arguments.output)
            outcome = f"{wheel.stat().st_size / 1e6:5.2f} MB  {wheel.name}"
        except RuntimeError as error:
            failed += 1
            outcome = "FAILED"
            print(error, file=sys.stderr)
        rows.append(f"{platform.name:18} {time.monotonic() - started:5.0f} s {outcome}")
    print("\n".join(rows))
    print(f"{len(chosen) - failed} wheels in {arguments.output}, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
