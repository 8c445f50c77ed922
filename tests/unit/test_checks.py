"""What else open, resize and plan refuse: sums of sizes, symbols, tables, and operators that cannot plan shapes."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from support import make_model
from test_contradictions import Parts
from wisp_converter import convert
from wisp_converter.opcodes import opcodes


def test_too_large_together():
    """Each tensor alone would do."""
    nodes = [(op, [f"v{i}"], [f"v{i + 1}"])
             for i, op in enumerate(["Sin", "Cos", "Tan", "Exp", "Neg", "Abs", "Sin", "Cos"])]
    data = convert(make_model(nodes, {"v0": ["n", 4096]}, {"v8": ["n", 4096]}), verify=False)
    with pytest.raises(wisp.WispError, match="too large: output"):
        wisp.load(data, shapes={"v0": (2**31 - 1, 4096)})


@pytest.mark.parametrize("at, value", [(0, (1 << 23) - 1), (0, (1 << 23) + 1), (7, -1), (255, (1 << 23) + 1)])
def test_softmax_table(at, value):
    """The first of its 256 values is one, none is larger or negative."""
    rng = np.random.default_rng(31)
    x, w = rng.standard_normal((4, 8)).astype(np.float32), rng.standard_normal((8, 5)).astype(np.float32)
    model = make_model([("Gemm", ["x", "w"], ["h"]), ("Softmax", ["h"], ["y"])], {"x": [4, 8]}, ["y"], {"w": w})
    parts = Parts(convert(model, quantize="int8", calibration=[{"x": x}], verify=False))
    operators, tensors = parts.sections["operators"], parts.sections["tensors"]
    softmax = operators[operators["code"] == opcodes()["Softmax"].code][0]
    table = tensors[parts.sections["operands"][softmax["operands"] + 1]]
    assert table["size"] == 1024
    parts.sections["weights"][int(table["offset"]):][: 1024].view("<i4")[at] = value
    with pytest.raises(wisp.BadFileError, match="table values are out of range"):
        wisp.load(parts.together())


def test_a_symbol_behind_the_last():
    """The file names one open axis; an input says it is the second."""
    parts = Parts(convert(make_model([("Neg", ["x"], ["y"])], {"x": ["n", 3]}, {"y": ["n", 3]}), verify=False))
    parts.sections["tensors"][parts.index("tensors", "x")]["dims"][0] = -2
    with pytest.raises(wisp.BadFileError, match="bad dims of tensor 'x'"):
        wisp.load(parts.together(), shapes={"x": (2, 3)})


def test_what_needs_scratch_does_not_run_while_shapes_are_planned():
    """A product of shape values, as no converter writes it."""
    nodes = [("Shape", ["x"], ["s"]), ("Cast", ["s"], ["f"], {"to": 1}), ("MatMul", ["f", "f"], ["g"]),
             ("Neg", ["x"], ["n"]), ("Mul", ["n", "g"], ["y"])]
    parts = Parts(convert(make_model(nodes, {"x": ["a", "b"]}, {"y": ["a", "b"]}), verify=False))
    operators, g = parts.sections["operators"], parts.sections["tensors"][parts.index("tensors", "g")]
    product = operators["code"] == opcodes()["MatMul"].code
    operators["flags"][product] = operators["flags"][parts.index("operators", "Cast_f")]
    g["kind"], g["offset"], g["size"] = 2, parts.header["shape_size"], 4
    parts.header["shape_size"] += 8
    with pytest.raises(wisp.UnsupportedError, match="cannot run while shapes are planned"):
        wisp.load(parts.together(), shapes={"x": (2, 3)})


@pytest.mark.parametrize("op, name, value, message", [
    ("Cast", "e8m0", 3, "no such rounding: 3"), ("Cast", "e8m0", -1, "no such rounding: -1"),
    ("Quantize", "block", -2, "the block is -2"), ("Quantize", "axis", 2, "the input has no axis 2"),
    ("Quantize", "precision", 7, "cannot divide in dtype 7"), ("Dequantize", "block", 2, "scales do not fit")])
def test_parameters_of_conversions(op, name, value, message):
    nodes = [("QuantizeLinear", ["x", "s", "z"], ["q"], {"axis": 0}), ("Cast", ["q"], ["c"], {"to": 10}),
             ("DequantizeLinear", ["q", "s", "z"], ["d"], {"axis": 0})]
    constants = {"s": np.ones(3, np.float32), "z": np.zeros(3, np.int8)}
    parts = Parts(convert(make_model(nodes, {"x": [3, 4]}, ["c", "d"], constants, opset=21), verify=False))
    operators, names = parts.sections["operators"], [n for _, n in opcodes()[op].params]
    node = operators[operators["code"] == opcodes()[op].code][0]
    parts.sections["parameters"].view("<i4")[int(node["parameters"]) + names.index(name)] = value
    with pytest.raises(wisp.WispError, match=message):
        wisp.load(parts.together())


def test_dtypes_of_conversions():
    """A bool is no quantized number, 32 bits are too many for one, and BitCast keeps the size."""
    nodes = [("QuantizeLinear", ["x", "s", "z"], ["q"], {}), ("BitCast", ["x"], ["b"], {"to": 6})]
    model = make_model(nodes, {"x": [3, 4]}, ["q", "b"], {"s": np.ones((), np.float32), "z": np.int8(0)}, opset=26)
    for name, dtype, size, message in (("q", 9, 1, "quantized elements cannot have dtype 9"),
                                       ("q", 6, 4, "quantized elements cannot have dtype 6"),
                                       ("b", 2, 1, "different sizes"), ("z", 2, 1, "have the quantized dtype")):
        parts = Parts(convert(model, verify=False))
        row = parts.sections["tensors"][parts.index("tensors", name)]
        row["dtype"], row["size"] = dtype, size * (1 if name == "z" else 12)
        with pytest.raises(wisp.WispError, match=message):
            wisp.load(parts.together())
