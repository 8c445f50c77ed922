"""Wisp beside other engines on one network: the same graph, one process per engine, engines in turn, three rounds.

    python benchmarks/peers.py [MODEL.onnx] [--tflite FLOAT.tflite INT8.tflite] [--threads N] [--seconds S] [--json]

MODEL defaults to MobileNet-v2. ONNX Runtime and LiteRT (ai-edge-litert; only with --tflite, which must be the same
network) are timed where they are installed, ONNX Runtime in float only. int8 is compared with int8, float with float.
Times are ms of one inference: the median of the rounds' medians, and the least of all. Only ratios from one run count.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROUNDS = 3


def runner(engine: str, model: str, threads: int):
    """A function that runs the model once on random input."""
    rng = np.random.default_rng(0)
    if engine == "wisp":
        import wisp

        loaded = wisp.load(model, threads=threads)
        inputs = {i.name: rng.uniform(-1, 1, i.shape).astype(i.dtype) for i in loaded.inputs}
        return lambda: loaded.run(inputs)
    if engine == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        inputs = {i.name: rng.uniform(-1, 1, i.shape).astype(np.float32) for i in session.get_inputs()}
        return lambda: session.run(None, inputs)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model, num_threads=threads)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        x = rng.uniform(-1, 1, detail["shape"]).astype(np.float32)
        interpreter.set_tensor(detail["index"],
                               x if detail["dtype"] == np.float32 else (x * 127).astype(detail["dtype"]))
    return interpreter.invoke


def measure(engine: str, model: str, threads: int, seconds: float) -> dict:
    """{"load", "median", "min"} in ms; runs in a process of its own."""
    start = time.perf_counter()
    run = runner(engine, model, threads)
    load = time.perf_counter() - start
    for _ in range(4):
        run()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return {"load": 1e3 * load, "median": 1e3 * float(np.median(times)), "min": 1e3 * min(times)}


def convert_both(source: str, folder: Path) -> tuple[str, str]:
    """The float and int8 .wisp files of an ONNX model, calibrated on noise: this is about speed only."""
    import wisp
    from wisp_converter import convert

    data = convert(source, verify=False)
    rng = np.random.default_rng(1)
    samples = [{i.name: rng.uniform(-1, 1, i.shape).astype(np.float32) for i in wisp.load(data).inputs}
               for _ in range(4)]
    (folder / "float.wisp").write_bytes(data)
    (folder / "int8.wisp").write_bytes(convert(source, quantize="int8", calibration=samples, verify=False))
    return str(folder / "float.wisp"), str(folder / "int8.wisp")


def contenders(source: str, tflite: list[str], folder: Path) -> list[tuple[str, str, str]]:
    """(kind, engine, model file) of everything that can run here."""
    wisp_float, wisp_int8 = convert_both(source, folder)
    found = [("int8", "wisp", wisp_int8), ("float", "wisp", wisp_float)]
    if importlib.util.find_spec("onnxruntime"):
        found.append(("float", "onnxruntime", source))
    if tflite and importlib.util.find_spec("ai_edge_litert"):
        found += [("float", "litert", tflite[0]), ("int8", "litert", tflite[1])]
    return found


def compare(entries: list[tuple[str, str, str]], threads: int, seconds: float) -> list[dict]:
    rounds: dict[tuple, list[dict]] = {entry: [] for entry in entries}
    for _ in range(ROUNDS):
        for kind, engine, model in entries:
            command = [sys.executable, __file__, "--one", engine, model, "--threads", str(threads),
                       "--seconds", str(seconds)]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            rounds[kind, engine, model].append(json.loads(result.stdout.splitlines()[-1]))
    return [{"kind": kind, "engine": engine,
             "median": float(np.median([r["median"] for r in rounds[kind, engine, model]])),
             "min": min(r["min"] for r in rounds[kind, engine, model]),
             "load": min(r["load"] for r in rounds[kind, engine, model])}
            for kind, engine, model in entries]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="an ONNX model with f32 inputs of fixed shape")
    parser.add_argument("--tflite", nargs=2, default=[], metavar=("FLOAT", "INT8"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("ENGINE", "MODEL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one, arguments.threads, arguments.seconds)))
        return
    if not arguments.model:
        import mobilenet

        arguments.model = str(mobilenet.onnx_path())
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(contenders(arguments.model, arguments.tflite, Path(folder)), arguments.threads,
                       arguments.seconds)
    if arguments.json:
        print(json.dumps(rows))
        return
    print(f"{'kind':6} {'engine':12} {'median ms':>10} {'min ms':>8} {'load ms':>8}  of wisp's median")
    for row in sorted(rows, key=lambda r: (r["kind"], r["engine"] != "wisp", r["median"])):
        own = next(r["median"] for r in rows if r["kind"] == row["kind"] and r["engine"] == "wisp")
        print(f"{row['kind']:6} {row['engine']:12} {row['median']:10.2f} {row['min']:8.2f} {row['load']:8.2f}  "
              f"{row['median'] / own:.2f}x")


if __name__ == "__main__":
    main()
