"""Tests of operators of com.microsoft: one node, against ONNX Runtime."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import onnx
import wisp
from onnx import helper, numpy_helper
from support import check_close, onnxruntime_outputs
from wisp_converter import convert

rng = np.random.default_rng(99)
MS = "com.microsoft"


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def model_of(op, operands, outputs, *, constants=(), symbolic=False, domain=MS, opset=14, types=None, fixed=(),
             **attributes):
    """One node, then Neg of each output, so that what follows needs its types. operands: {name: array or None}.
    types: of outputs that are not float. symbolic: open axes, called x0, x1...; but not those that are `fixed`."""
    names = [n if a is not None else "" for n, a in operands.items()]
    given = {n: a for n, a in operands.items() if a is not None}
    node = helper.make_node(op, names, [f"{o}_" if o else "" for o in outputs], "node", domain=domain, **attributes)
    follow = [helper.make_node("Neg", [f"{o}_"], [o]) for o in outputs if o]
    graph = helper.make_graph(
        [node, *follow], "g",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), [
            f"{n}{i}" if symbolic and f"{n}{i}" not in fixed else d for i, d in enumerate(a.shape)])
         for n, a in given.items() if n not in constants],
        [helper.make_tensor_value_info(o, (types or {}).get(o, onnx.TensorProto.FLOAT), None) for o in outputs if o],
        [numpy_helper.from_array(given[n], n) for n in constants])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8), {n: a for n, a in given.items()
                                                                          if n not in constants}


def check(op, operands, outputs=("y",), **options):
    model, inputs = model_of(op, operands, outputs, **options)
    want = onnxruntime_outputs(model, inputs)
    assert want is not None, "ONNX Runtime refuses the model"
    got = wisp.load(convert(model, verify=False)).run(inputs)
    for name, expected in want.items():
        check_close(got[name], expected, name, rtol=1e-4, atol=1e-5)
