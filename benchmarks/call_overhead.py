"""What a call costs besides the work: a model of one node, called from C and Python, beside other engines.

    python benchmarks/call_overhead.py [--json]

y = Relu(x), 16 floats. Microseconds of one call, input written and output read: the least of many short loops, the
callers in turn, all in one run. "C" is a program of its own around the same libwisp. ONNX Runtime and LiteRT
(ai-edge-litert) are timed where they are installed. Needs a C compiler (CC, by default cc).
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SHAPE = (1, 16)
CALLS, ROUNDS = 1000, 200
HERE = Path(__file__).resolve().parent
X = np.linspace(-1, 1, 16, dtype=np.float32).reshape(SHAPE)


def onnx_bytes() -> bytes:
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", [x], [y])
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def tflite_bytes() -> bytes:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, graph, node, code = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    code.version = 1
    graph.tensors = []
    for name in "xy":
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(SHAPE), schema.TensorType.FLOAT32, 0
        graph.tensors.append(tensor)
    node.opcodeIndex, node.inputs, node.outputs = 0, [0], [1]
    graph.operators, graph.inputs, graph.outputs = [node], [0], [1]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


# ---- callers: functions of no argument; `check` says whether the output is right


def wisp_callers(data: bytes) -> dict[str, Callable[[], object]]:
    import wisp

    model, y = wisp.load(data), np.empty(SHAPE, np.float32)
    out, session = {"y": y}, model.session()
    x_view, y_view = session.inputs["x"], session.outputs["y"]

    def views() -> None:
        x_view[...] = X
        session.run()
        y[...] = y_view

    return {"wisp model.run(x)": lambda: model.run(X), "wisp model(x)": lambda: model(X),
            "wisp model.run({x: x}, out=)": lambda: model.run({"x": X}, out=out),
            "wisp session.run(), views filled and read": views, "wisp session.run() alone": session.run}


def ort_callers(data: bytes) -> dict[str, Callable[[], object]]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    x, y, binding = X.copy(), np.empty(SHAPE, np.float32), session.io_binding()
    binding.bind_input("x", "cpu", 0, np.float32, SHAPE, x.ctypes.data)
    binding.bind_output("y", "cpu", 0, np.float32, SHAPE, y.ctypes.data)

    def bound() -> None:
        x[...] = X
        session.run_with_iobinding(binding)

    bound()
    np.testing.assert_array_equal(y, np.maximum(X, 0))
    return {"ONNX Runtime run": lambda: session.run(None, {"x": X}), "ONNX Runtime IOBinding": bound,
            "ONNX Runtime IOBinding alone": lambda: session.run_with_iobinding(binding)}


def litert_callers(data: bytes) -> dict[str, Callable[[], object]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    i, o = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def whole() -> object:
        interpreter.set_tensor(i, X)
        interpreter.invoke()
        return interpreter.get_tensor(o)

    np.testing.assert_array_equal(whole(), np.maximum(X, 0))
    return {"LiteRT set_tensor, invoke, get_tensor": whole, "LiteRT invoke alone": interpreter.invoke}


def c_program(folder: Path) -> Path:
    """The same loop in C, linked with the library that Python uses."""
    from wisp import _library

    library, program = _library.library_path(), folder / "call_overhead"
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-O2", f"-I{HERE.parent / 'cbackend' / 'include'}",
                    HERE / "call_overhead.c", library, f"-Wl,-rpath,{library.parent}", "-o", program], check=True)
    return program


# ---- measure


def loop(call: Callable[[], object]) -> float:
    """Microseconds of one call, of CALLS in a row."""
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) * 1e6 / CALLS


def measure() -> dict[str, float]:
    from wisp_converter import convert

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "one.onnx").write_bytes(onnx_bytes())
        data = convert(str(folder / "one.onnx"), verify=False)
        (folder / "one.wisp").write_bytes(data)
        program = c_program(folder)
        callers = wisp_callers(data)
        if importlib.util.find_spec("onnxruntime"):
            callers.update(ort_callers(onnx_bytes()))
        if importlib.util.find_spec("ai_edge_litert"):
            callers.update(litert_callers(tflite_bytes()))
        best = dict.fromkeys(["wisp C", *callers], float("inf"))
        for turn in range(ROUNDS):
            for caller, call in callers.items():
                best[caller] = min(best[caller], loop(call))
            if turn % 20 == 0:
                result = subprocess.run([program, folder / "one.wisp", str(CALLS)], capture_output=True, check=True)
                best["wisp C"] = min(best["wisp C"], float(result.stdout) * 1e6)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    best = measure()
    if arguments.json:
        print(json.dumps(best))
        return
    print(f"{'':42} {'us a call':>9}  above C")
    for caller, microseconds in best.items():
        print(f"{caller:42} {microseconds:9.2f}  {microseconds - best['wisp C']:+7.2f}")


if __name__ == "__main__":
    main()
