"""Instructions of one int8 inference, one thread, counted under emulation, beside the peers'.

    python tests/targets/counts.py [CORE...] [--tflite-peer FOLDER] [--top N] [--json FILE]

MobileNet-v1 (seeded weights) and v2 at 224x224, f32 in and out, on ARM; v2 in int8 and in f32 on Hexagon (packets); one
int8 matrix product on Cortex-M4 and M55. Counts rank code on one core; they are not time. --tflite-peer: FOLDER holds
mobilenet_v1_int8.tflite and mobilenet_v2_int8.tflite, written by benchmarks/mobilenet_tflite.py; LiteRT counts them in
an emulated Python. Otherwise its recorded counts stand beside Wisp's, as CMSIS-NN's always do. --top: the functions of
Wisp that execute most. Exit status 1 if Wisp needs more than a peer anywhere,
or if HVX does not save seven of eight packets.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from run import ROOT, Program, all_targets, boards, command, missing

BUILD = ROOT / "build" / "targets" / "counts"
HERE = Path(__file__).resolve().parent
PLUGIN = BUILD / "libicount.so"

NETWORKS = ("mobilenet_v1", "mobilenet_v2")
# Instructions for a multiply-accumulate of arm_nn_mat_mult_nt_t_s8, 64 x 64 x 256
CMSIS_NN = {"m4": 1.63, "m55": 0.227}
LITERT = "2.3.0"
# Millions. A7: tflite-runtime 2.14; others: LITERT under --tflite-peer, models of benchmarks/mobilenet_tflite.py
RECORDED = {("cortex-a53", "mobilenet_v1"): 223.6, ("cortex-a53", "mobilenet_v2"): 131.9,
            ("cortex-a72", "mobilenet_v1"): 174.6, ("cortex-a72", "mobilenet_v2"): 113.7,
            ("cortex-a76", "mobilenet_v1"): 64.0, ("cortex-a76", "mobilenet_v2"): 49.2,
            ("cortex-a7", "mobilenet_v1"): 311.9, ("cortex-a7", "mobilenet_v2"): 275.6}


def count(emulator: list, *program, top: int = 0) -> tuple[float, str]:
    """Millions of instructions between the program's marks, or of all of it; the plugin's list of functions."""
    text = command(emulator[0], "-plugin", f"{PLUGIN},top={top}", *emulator[1:], *program, stderr=subprocess.STDOUT)
    found = re.search(r"instructions (\d+)\n((?: +\d+ \S+\n)*)", text)
    if not found:
        raise RuntimeError(text.strip()[-2000:])
    return int(found[1]) / 1e6, found[2]


# ---- Wisp


def convert(name: str, quantize: str | None = "int8") -> Path:
    import mobilenet
    import mobilenet_v1
    import wisp_converter

    path = BUILD / f"{name}_{quantize}.wisp"
    source = mobilenet_v1.build().SerializeToString() if name == "mobilenet_v1" else str(mobilenet.onnx_path())
    rng = np.random.default_rng(2)
    samples = [{"x": rng.uniform(-2, 2, (1, 3, 224, 224)).astype(np.float32)} for _ in range(2)]
    path.write_bytes(wisp_converter.convert(source, quantize=quantize, calibration=samples if quantize else None,
                                            verify=False))
    return path


def count_wisp(target: Program, network: Path, isa: str = "all", top: int = 0) -> tuple[float, str]:
    return count(target.emulator, target.binary("digest"), network, 1, 1, isa, top=top)


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
x = np.random.default_rng(0).integers(-128, 128, detail["shape"])
interpreter.set_tensor(detail["index"], x.astype(detail["dtype"]))
interpreter.invoke()
mark(0x51000000)
interpreter.invoke()
mark(0x51000001)
"""

PARTS = {"cortex-a53": (0xD03, ""), "cortex-a72": (0xD08, ""),
         "cortex-a76": (0xD0B, " atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp")}


def describe_core(root: Path, core: str) -> None:
    """LiteRT reads /proc/cpuinfo, and the emulator would show that of this machine."""
    part, features = PARTS[core]
    lines = ["BogoMIPS\t: 108.00", f"Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid{features}",
             "CPU implementer\t: 0x41", "CPU architecture: 8", "CPU variant\t: 0x4", f"CPU part\t: {part:#x}",
             "CPU revision\t: 1"]
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text("".join(f"processor\t: {i}\n" + "\n".join(lines) + "\n\n" for i in range(2)))


def peer_root() -> Path:
    """An unpacked Debian for the processor, with LiteRT; made once."""
    root = BUILD / "root"
    if not (root / "litert" / "ai_edge_litert").exists():
        command("bash", HERE / "arm_root.sh", "arm64", root)
        version = re.sub(r"\D*(\d)(\d+)", r"\1.\2", next(root.glob("usr/bin/python3.[0-9]*")).name.replace(".", ""))
        platforms = [word for glibc in ("2_28", "2_27", "2_17")
                     for word in ("--platform", f"manylinux_{glibc}_aarch64")]
        command(sys.executable, "-m", "pip", "install", "-q", "--target", root / "litert", "--no-deps",
                "--only-binary=:all:", "--python-version", version, *platforms, f"ai-edge-litert=={LITERT}", "numpy",
                "flatbuffers", "backports.strenum", "typing-extensions", "tqdm", "protobuf")
        (root / "peer.py").write_text(PEER)
    return root


def count_litert(core: str, model: Path) -> float:
    root = peer_root()
    describe_core(root, core)
    emulator = ["qemu-aarch64", "-cpu", core, "-L", root, "-E", f"PYTHONPATH={root / 'litert'}", "-E",
                "OPENBLAS_NUM_THREADS=1"]
    return count(emulator, root / "usr" / "bin" / "python3", root / "peer.py", model)[0]


# ---- the tables


def count_networks(targets: list[Program], arguments) -> list[dict]:
    rows = []
    print(f"millions of instructions of one inference\n{'core':11} {'network':13} {'Wisp':>7} {'LiteRT':>7} "
          f"{'ratio':>6}")
    for name in NETWORKS:
        path = convert(name)
        for target in targets:
            core = target.name.split()[-1]
            ours, functions = count_wisp(target, path, top=arguments.top)
            peer = RECORDED.get((core, name))
            if arguments.tflite_peer and core in PARTS:
                peer = count_litert(core, arguments.tflite_peer / f"{name}_int8.tflite")
            rows.append({"core": core, "network": name, "wisp": ours, "peer": peer, "holds": not peer or ours <= peer})
            beside = f"{peer:7.1f} {ours / peer:6.2f}" if peer else "      -      -"
            print(f"{core:11} {name:13} {ours:7.1f} {beside}", flush=True)
            print(functions, end="")
    source = "counted in this run" if arguments.tflite_peer else "recorded"
    print(f"LiteRT {LITERT}: {source}; on cortex-a7 tflite-runtime 2.14, recorded")
    return rows


def count_hexagon(target: Program) -> list[dict]:
    ints = count_wisp(target, convert("mobilenet_v2"))[0]
    floats = count_wisp(target, convert("mobilenet_v2", None), "scalar")[0]
    print(f"hexagon     mobilenet_v2  millions of packets: int8 with HVX {ints:.1f}, f32 scalar {floats:.1f}, "
          f"{floats / ints:.1f} times fewer")
    return [{"core": "hexagon", "network": "mobilenet_v2", "wisp": ints, "float": floats, "holds": floats >= 8 * ints}]


def count_product(board: str) -> dict:
    """Instructions for each multiply-accumulate: the second of two products, so that start-up does not count."""
    boards.build_tests(board, BUILD / board)
    emulator = ["qemu-system-arm", *boards.machine_options(board), "-kernel"]
    once, twice = (count(emulator, BUILD / board / f"count_{n}")[0] for n in (1, 2))
    each = (twice - once) * 1e6 / boards.MACS
    print(f"cortex-{board:4} gemm_s8       {each:.3f} instructions for a multiply-accumulate, "
          f"CMSIS-NN {CMSIS_NN[board]} recorded")
    return {"core": f"cortex-{board}", "wisp": each, "peer": CMSIS_NN[board], "holds": each <= CMSIS_NN[board]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cores", nargs="*", help="words of their names; default: all")
    parser.add_argument("--tflite-peer", type=Path, metavar="FOLDER")
    parser.add_argument("--top", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    BUILD.mkdir(parents=True, exist_ok=True)
    command("gcc", "-O2", "-shared", "-fPIC", "-o", PLUGIN, HERE / "counts" / "icount.c")
    usable = []
    for target in all_targets([]):
        kind = target.name.split()[0]
        if kind not in ("aarch64", "armv7", "armv6", "hexagon", "cortex-m4", "cortex-m55"):
            continue
        if arguments.cores and not any(word in target.name for word in arguments.cores):
            continue
        if missing(target):
            print(f"{target.name:20} SKIPPED: needs {', '.join(missing(target))}")
            continue
        target.build()
        usable.append(target)
    rows = count_networks([t for t in usable if t.name.startswith(("aarch64", "armv"))], arguments)
    for target in usable:
        if target.name.startswith("hexagon"):
            rows += count_hexagon(target)
        elif target.name.startswith("cortex"):
            rows.append(count_product(target.board))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    return int(not all(row["holds"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
