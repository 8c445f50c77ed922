"""fuse_primitives: arithmetic that is an activation or a normalization becomes one."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from support import check_model, count, make_model, optimized

rng = np.random.default_rng(0)
NUMBERS = {n: np.float32(v) for n, v in {
    "half": 0.5, "one": 1, "two": 2, "three": 3, "six": 6, "zero": 0, "sixth": 1 / 6, "root": np.sqrt(2),
    "inverse": np.sqrt(0.5), "cubic": 0.044715, "tanh": np.sqrt(2 / np.pi), "quick": 1.702, "epsilon": 1e-5,
    "minus_half": -0.5}.items()}


def random(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def model_of(lines, outputs=("y",), shape=(2, 3, 8), opset=17, **constants):
    """lines: "name = Op operand ... attribute=value"."""
    nodes, used = [], set()
    for line in lines.strip().splitlines():
        result, (op, *words) = line.split("=", 1)[0].strip(), line.split("=", 1)[1].split()
        attributes = {k: eval(v) for k, v in (w.split("=") for w in words if "=" in w)}  # noqa: S307 - ours
        operands = [w for w in words if "=" not in w]
        used |= set(operands)
        nodes.append((op, operands, [result], attributes))
    initializers = {n: v for n, v in {**NUMBERS, **constants}.items() if n in used}
    return make_model(nodes, {"x": list(shape)}, list(outputs), initializers, opset=opset)


ACTIVATIONS = {
    "Gelu": ["""a = Div x root
                b = Erf a
                c = Add b one
                d = Mul x c
                y = Mul d half""",
             """h = Mul half x
                a = Mul inverse x
                b = Erf a
                c = Add one b
                y = Mul h c""",
             """a = Mul x x
                b = Mul a x
                c = Mul cubic b
                d = Add x c
                e = Mul d tanh
                f = Tanh e
                g = Add f one
                h = Mul x half
                y = Mul g h""",
             """a = Pow x three
                c = Mul a cubic
                d = Add c x
                e = Mul tanh d
                f = Tanh e
                g = Add one f
                h = Mul x g
                y = Mul half h""",
             """a = Mul x x
                c = Mul a cubic
                d = Add one c
                p = Mul x tanh
                e = Mul p d
                f = Tanh e
                g = Add one f
                h = Mul x g
                y = Mul half h"""],
    "Swish": ["""a = Sigmoid x
                 y = Mul a x""",
              """b = Mul quick x
                 a = Sigmoid b
                 y = Mul x a""",
              """b = Neg x
                 a = Exp b
                 c = Add a one
                 y = Div x c"""],
    "HardSwish": ["""a = HardSigmoid x alpha=0.16666667 beta=0.5
                     y = Mul x a""",
                  """a = Add x three
                     b = Clip a zero six
                     c = Mul x b
                     y = Div c six""",
                  """a = Add three x
                     b = Clip a zero six
                     c = Div b six
                     y = Mul x c"""],
    "Mish": ["""a = Softplus x
                b = Tanh a
                y = Mul b x""",
             """a = Exp x
                b = Add a one
                c = Log b
                d = Tanh c
                y = Mul x d"""],
}


@pytest.mark.parametrize(("op", "form"), [(op, i) for op, forms in ACTIVATIONS.items() for i in range(len(forms))])
def test_activation(op, form):
    model = model_of(ACTIVATIONS[op][form])
    assert [n.op for n in optimized(model).nodes] == [op]
    check_model(model, {"x": random(2, 3, 8) * 4})


CENTRED = """m = ReduceMean x axes=[-1]
             d = Sub x m
             """
LAYER_NORMS = [
    CENTRED + """s = Pow d two
                 v = ReduceMean s axes=[-1]
                 e = Add v epsilon
                 r = Sqrt e
                 n = Div d r
                 g = Mul n scale
                 y = Add g bias""",
    CENTRED + """s = Mul d d
                 v = ReduceMean s axes=[2]
                 e = Add epsilon v
                 r = Sqrt e
                 q = Reciprocal r
                 n = Mul q d
                 g = Mul scale n
                 y = Add bias g""",
    CENTRED + """s = Mul d d
                 v = ReduceMean s axes=[2]
                 e = Add epsilon v
                 r = Pow e minus_half
                 y = Mul d r""",
    CENTRED + """s = Mul d d
                 v = ReduceMean s axes=[2]
                 e = Add epsilon v
                 r = Sqrt e
                 q = Reciprocal r
                 f = Mul q scale
                 p = Mul x f
                 t = Mul m f
                 b = Sub bias t
                 y = Add p b"""]


@pytest.mark.parametrize("form", range(len(LAYER_NORMS)))
@pytest.mark.parametrize("lead", [(), (1,), (1, 1)])
def test_layer_normalization(form, lead):
    model = model_of(LAYER_NORMS[form], scale=random(*lead, 8), bias=random(*lead, 8))
    assert [n.op for n in optimized(model).nodes] == ["LayerNormalization"]
    check_model(model, {"x": random(2, 3, 8) + 2})


def test_layer_normalization_of_several_axes():
    lines = LAYER_NORMS[0].replace("[-1]", "[1,2]")
    model = model_of(lines, scale=random(3, 8), bias=random(3, 8))
    assert [n.op for n in optimized(model).nodes] == ["LayerNormalization"]
    check_model(model, {"x": random(2, 3, 8)})


RMS = """s = Pow x two
         v = ReduceMean s axes=[-1]
         e = Add v epsilon
         r = Sqrt e
         {}"""


@pytest.mark.parametrize("end", ["n = Div x r\ny = Mul n scale", "q = Reciprocal r\nn = Mul x q\ny = Mul scale n",
                                 "y = Div x r"])
def test_rms_normalization(end):
    model = model_of(RMS.format(end), scale=random(8))
    assert [n.op for n in optimized(model).nodes] == ["RMSNormalization"]
    check_model(model, {"x": random(2, 3, 8)})


def test_open_axes():
    for lines, op in ((LAYER_NORMS[0], "LayerNormalization"), (ACTIVATIONS["Gelu"][0], "Gelu")):
        model = model_of(lines, shape=("batch", "length", 8), scale=random(8), bias=random(8))
        assert [n.op for n in optimized(model).nodes] == [op]
        check_model(model, {"x": random(3, 5, 8)})


DIFFERENT = {
    "another constant": (ACTIVATIONS["Gelu"][0].replace("root", "two"), ("y",)),
    "a constant not close enough": (ACTIVATIONS["Gelu"][0].replace("half", "nearly"), ("y",)),
    "another value": (ACTIVATIONS["Swish"][0].replace("a x", "a z").replace("a = ", "z = Abs x\na = "), ("y",)),
    "an output inside": (ACTIVATIONS["Swish"][1], ("y", "a")),
    "read elsewhere": (ACTIVATIONS["Mish"][0] + "\nz = Neg a", ("y", "z")),
    "axes that are not the last": (LAYER_NORMS[0].replace("[-1]", "[1]"), ("y",)),
    "different axes": (LAYER_NORMS[0].replace("s axes=[-1]", "s axes=[1]"), ("y",)),
    "scales of another axis": (LAYER_NORMS[0].replace("scale", "column"), ("y",)),
    "a scale that broadcasts x": (LAYER_NORMS[0].replace("scale", "large"), ("y",)),
    "another clip": (ACTIVATIONS["HardSwish"][1].replace("zero six", "zero three"), ("y",)),
}
FUSED = ("Gelu", "Swish", "HardSwish", "Mish", "RMSNormalization")


@pytest.mark.parametrize("case", DIFFERENT)
def test_not_what_only_looks_like_it(case):
    lines, outputs = DIFFERENT[case]
    model = model_of(lines, outputs, scale=random(8), bias=random(8), column=random(3, 1), large=random(4, 1, 3, 8),
                     nearly=np.float32(0.50001))
    graph = optimized(model)
    assert not any(count(graph, op) for op in FUSED)
    if "scale" in case:  # what is left without the scale may be
        assert count(graph, "Mul")
    else:
        assert not count(graph, "LayerNormalization")
    check_model(model, {"x": random(2, 3, 8)})


def test_a_longer_chain_is_not_swallowed():
    """Swish of a product, times a constant: the factors of all three belong to one product."""
    lines = """p = Mul x scale
               a = Sigmoid p
               b = Mul p a
               y = Mul b bias"""
    model = model_of(lines, scale=random(8), bias=random(8))
    assert sorted(n.op for n in optimized(model).nodes) == ["Mul", "Mul", "Swish"]
    check_model(model, {"x": random(2, 3, 8)})


GROUPED = """r = Reshape x grouped
             n = InstanceNormalization r ones zeros
             b = Reshape n back
             s = Mul b scale
             y = Add s bias"""


def grouped(lines=GROUPED, **more):
    return model_of(lines, shape=(2, 6, 4, 5), **{
        "grouped": np.int64([0, 3, -1]), "back": np.int64([2, 6, 4, 5]), "ones": random(3), "zeros": random(3),
        "scale": random(6, 1, 1), "bias": random(6, 1, 1), **more})


def test_group_normalization():
    for lines in (GROUPED, "\n".join(GROUPED.splitlines()[:3]) + "\ny = Mul scale b"):
        model = grouped(lines)
        assert [n.op for n in optimized(model).nodes] == ["GroupNormalization"]
        assert optimized(model).nodes[0].attrs["groups"] == 3
        check_model(model, {"x": random(2, 6, 4, 5) + 1})


@pytest.mark.parametrize("change", [
    {"grouped": np.int64([1, 3, 80])}, {"grouped": np.int64([0, 4, -1]), "ones": random(4), "zeros": random(4)},
    {"back": np.int64([2, 4, 6, 5]), "bias": random(1), "scale": random(4, 1, 1)},
    {"scale": random(4, 5)}, {"scale": random(6, 4, 1)}])
def test_other_groups(change):
    model = grouped(**change)
    groups = [n.attrs["groups"] for n in optimized(model).nodes if n.op == "GroupNormalization"]
    assert groups == [0] and count(optimized(model), "Reshape") == 2
    check_model(model, {"x": random(2, 6, 4, 5)})
