"""Instructions of one int8 inference on 64-bit ARM cores, one thread, counted under emulation, beside LiteRT's.

    python tests/targets/counts.py [--tflite-peer FOLDER] [--top N] [--json FILE]

MobileNet-v1 (seeded weights) and v2 at 224x224, float in and out. Counts rank code on one core; they are not time.
--tflite-peer: FOLDER holds mobilenet_v1_int8.tflite and mobilenet_v2_int8.tflite, written by benchmarks/mobilenet_tflite.py;
LiteRT counts them in an emulated Python. Otherwise its recorded counts stand beside Wisp's. --top: the functions of Wisp that
execute most. Exit status 1 if Wisp executes more than LiteRT anywhere.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "targets" / "counts"
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "benchmarks"))

CORES = ("cortex-a53", "cortex-a72", "cortex-a76", "max")
NETWORKS = ("mobilenet_v1", "mobilenet_v2")
NEEDS = ("gcc", "aarch64-linux-gnu-gcc", "qemu-aarch64", "cmake")
LITERT = "2.3.0"
# millions, LITERT under --tflite-peer with the models of benchmarks/mobilenet_tflite.py
RECORDED = {("cortex-a53", "mobilenet_v1"): 223.6, ("cortex-a53", "mobilenet_v2"): 131.9, ("cortex-a72", "mobilenet_v1"): 174.6,
            ("cortex-a72", "mobilenet_v2"): 113.7, ("cortex-a76", "mobilenet_v1"): 64.0, ("cortex-a76", "mobilenet_v2"): 49.2}


def command(*words, **options) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).strip()[-2000:] or f"{words[0]}: exit status {done.returncode}")
    return done.stdout + done.stderr


def count(core: str, *program, top: int = 0) -> tuple[float, str]:
    """Millions of instructions between the program's marks; the plugin's list of functions."""
    text = command("qemu-aarch64", "-cpu", core, "-plugin", f"{BUILD / 'libicount.so'},top={top}", *program)
    found = re.search(r"instructions (\d+)\n((?: +\d+ \S+\n)*)", text)
    if not found:
        raise RuntimeError(text.strip()[-2000:])
    return int(found[1]) / 1e6, found[2]


# ---- Wisp


def build() -> None:
    command("gcc", "-O2", "-shared", "-fPIC", "-o", BUILD / "libicount.so", HERE / "counts" / "icount.c")
    command("cmake", "-S", ROOT / "cbackend", "-B", BUILD / "aarch64", "-G", "Ninja", "-DCMAKE_SYSTEM_NAME=Linux",
            "-DCMAKE_SYSTEM_PROCESSOR=aarch64", "-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc")
    command("cmake", "--build", BUILD / "aarch64", "--target", "wisp_static")
    command("aarch64-linux-gnu-gcc", "-O2", "-static", "-I", ROOT / "cbackend" / "include", "-o", BUILD / "infer",
            HERE / "counts" / "infer.c", BUILD / "aarch64" / "libwisp.a", "-lm", "-lpthread")


def convert(name: str) -> Path:
    import mobilenet
    import mobilenet_v1
    import wisp_converter

    source = mobilenet_v1.build().SerializeToString() if name == "mobilenet_v1" else str(mobilenet.onnx_path())
    rng = np.random.default_rng(2)
    samples = [{"x": rng.uniform(-2, 2, (1, 3, 224, 224)).astype(np.float32)} for _ in range(2)]
    path = BUILD / f"{name}.wisp"
    path.write_bytes(wisp_converter.convert(source, quantize="int8", calibration=samples, verify=False))
    return path


# ---- LiteRT

PEER = """
import os, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

def mark(process):
    try:
        os.getpgid(process)
    except OSError:
        pass

interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
detail = interpreter.get_input_details()[0]
interpreter.set_tensor(detail["index"], np.random.default_rng(0).integers(-128, 128, detail["shape"]).astype(detail["dtype"]))
interpreter.invoke()
mark(0x51000000)
interpreter.invoke()
mark(0x51000001)
"""

PARTS = {"cortex-a53": (0xD03, ""), "cortex-a72": (0xD08, ""), "cortex-a76": (0xD0B, " atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp")}


def describe_core(root: Path, core: str) -> None:
    """LiteRT reads /proc/cpuinfo, and the emulator would show that of this machine."""
    part, features = PARTS[core]
    lines = ["BogoMIPS\t: 108.00", f"Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid{features}", "CPU implementer\t: 0x41",
             "CPU architecture: 8", "CPU variant\t: 0x4", f"CPU part\t: {part:#x}", "CPU revision\t: 1"]
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text("".join(f"processor\t: {i}\n" + "\n".join(lines) + "\n\n" for i in range(2)))


def peer_root() -> Path:
    """An unpacked Debian for the processor, with LiteRT; made once."""
    root = BUILD / "root"
    if not (root / "litert" / "ai_edge_litert").exists():
        command("bash", HERE / "arm_root.sh", "arm64", root)
        version = re.sub(r"\D*(\d)(\d+)", r"\1.\2", next(root.glob("usr/bin/python3.[0-9]*")).name.replace(".", ""))
        platforms = [word for glibc in ("2_28", "2_27", "2_17") for word in ("--platform", f"manylinux_{glibc}_aarch64")]
        command(sys.executable, "-m", "pip", "install", "-q", "--target", root / "litert", "--no-deps", "--only-binary=:all:",
                "--python-version", version, *platforms, f"ai-edge-litert=={LITERT}", "numpy", "flatbuffers", "backports.strenum",
                "typing-extensions", "tqdm", "protobuf")
        (root / "peer.py").write_text(PEER)
    return root


def count_litert(core: str, model: Path) -> float:
    root = peer_root()
    describe_core(root, core)
    return count(core, "-L", root, "-E", f"PYTHONPATH={root / 'litert'}", "-E", "OPENBLAS_NUM_THREADS=1", root / "usr" / "bin" / "python3",
                 root / "peer.py", model)[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tflite-peer", type=Path, metavar="FOLDER")
    parser.add_argument("--top", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    missing = [p for p in NEEDS if not shutil.which(p)]
    if missing:
        print(f"SKIPPED: needs {', '.join(missing)}")
        return 0
    BUILD.mkdir(parents=True, exist_ok=True)
    build()
    rows = []
    print(f"millions of instructions of one inference\n{'core':11} {'network':13} {'Wisp':>7} {'LiteRT':>7} {'ratio':>6}")
    for name in NETWORKS:
        path = convert(name)
        for core in CORES:
            ours, functions = count(core, BUILD / "infer", path, top=arguments.top)
            peer = RECORDED.get((core, name))
            if arguments.tflite_peer and core in PARTS:
                peer = count_litert(core, arguments.tflite_peer / f"{name}_int8.tflite")
            rows.append({"core": core, "network": name, "wisp": ours, "litert": peer})
            print(f"{core:11} {name:13} {ours:7.1f} " + (f"{peer:7.1f} {ours / peer:6.2f}" if peer else "      -      -"), flush=True)
            print(functions, end="")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    print(f"LiteRT {LITERT}: " + ("counted in this run" if arguments.tflite_peer else "recorded"))
    return int(any(r["litert"] and r["wisp"] > r["litert"] for r in rows))


if __name__ == "__main__":
    sys.exit(main())
