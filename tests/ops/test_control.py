"""If, Loop and Scan against ONNX Runtime; models are written in ONNX's text form."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from onnx import parser
from support import count, imported, onnxruntime_outputs
from wisp_converter import UnsupportedError, convert

rng = np.random.default_rng(21)
HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n'


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def model_of(text: str):
    return parser.parse_model(HEADER + text)


def check(model, *runs: dict) -> bytes:
    """Every run of one converted file equals ONNX Runtime's."""
    data = convert(model, verify=False)
    runner = wisp.load(data)
    for inputs in runs:
        want, got = onnxruntime_outputs(model, inputs), runner.run(inputs)
        assert want is not None
        for name, expected in want.items():
            assert got[name].shape == expected.shape and got[name].dtype == expected.dtype
            np.testing.assert_allclose(got[name], expected, rtol=1e-5, atol=1e-6)
    return data


IF = """g (float[2,N] x, bool c) => (float[2,N] y) {
  z = Relu(x)
  y = If (c) <
    then_branch = t () => (float[2,M] a) { q = Neg(z)  a = Exp(q) },
    else_branch = e () => (float[2,M] b) { b = Identity(x) }>
}"""


def test_if_reads_outer_values():
    model = model_of(IF)
    check(model, *({"x": f32(2, n), "c": np.array(c)} for n in (3, 5) for c in (True, False)))


def test_if_on_a_constant_leaves_its_branch_only():
    model = model_of(IF.replace(", bool c", "").replace("z =", "c = Constant<value = bool {1}>()\n  z ="))
    graph = imported(model)
    assert count(graph, "If") == 0 and count(graph, "Exp") == 1
    check(model, {"x": f32(2, 4)})


def test_if_of_different_extents():
    model = model_of("""g (float[4] x, bool c) => (float[K] y) {
      one = Constant<value_ints = [1]>()
      three = Constant<value_ints = [3]>()
      y = If (c) <
        then_branch = t () => (float[M] a) { a = Slice(x, one, three) },
        else_branch = e () => (float[M] b) { b = Concat<axis = 0>(x, x) }>
    }""")
    check(model, {"x": f32(4), "c": np.array(True)}, {"x": f32(4), "c": np.array(False)})


def test_if_within_if():
    model = model_of("""g (float[3] x, bool c, bool d) => (float[3] y) {
      y = If (c) <
        then_branch = t () => (float[3] a) {
          h = Neg(x)
          a = If (d) <then_branch = tt () => (float[3] p) { p = Add(h, x) },
                      else_branch = te () => (float[3] q) { q = Exp(h) }>
        },
        else_branch = e () => (float[3] b) { b = Abs(x) }>
    }""")
    check(model, *({"x": f32(3), "c": np.array(c), "d": np.array(d)} for c in (True, False) for d in (True, False)))


def test_if_whose_branches_have_other_ranks():
    model = model_of("""g (float[1,N] x, bool c) => (float y) {
      axis = Constant<value_ints = [0]>()
      z = If (c) <then_branch = t () => (float[K] a) { a = Squeeze(x, axis) },
                  else_branch = e () => (float[1,K] b) { b = Identity(x) }>
      y = ReduceSum<keepdims = 0>(z)
    }""")
    with pytest.raises(UnsupportedError, match="If .*the number of axes of 'z' depends on the data"):
        convert(model, verify=False)


LOOP = """g (int64 n, bool go, float[2] x) => (float[2] last, float[K,2] all) {
  last, all = Loop (n, go, x) <body = b (int64 i, bool on, float[2] v) => (bool still, float[2] w, float[2] copy) {
    limit = Constant<value = float {50}>()
    w = Add(v, v)
    copy = Neg(w)
    most = ReduceMax<keepdims = 0>(w)
    still = Less(most, limit)
  }>
}"""


def test_loop_ends_by_count_or_by_condition():
    x = np.float32([1, 3])
    check(model_of(LOOP), *({"n": np.array(n), "go": np.array(go), "x": x}
                            for n, go in ((3, True), (100, True), (1, True), (0, True), (5, False))))


def test_loop_without_a_trip_count():
    model = model_of(LOOP.replace("int64 n, bool go", "bool go").replace("Loop (n, go", 'Loop ("", go'))
    check(model, {"go": np.array(True), "x": np.float32([1, 2])}, {"go": np.array(True), "x": np.float32([0, 0.01])})


def test_loop_whose_carried_value_grows():
    model = model_of("""g (int64 n, float[1,2] x) => (float[M,2] y, float[2] total) {
      go = Constant<value = bool {1}>()
      first = Constant<value_ints = [0]>()
      zero = ReduceSum<keepdims = 0>(x, first)
      y, total = Loop (n, go, x, zero) <
        body = b (int64 i, bool on, float[P,2] v, float[2] s) => (bool still, float[Q,2] w, float[2] t) {
          f = Cast<to = 1>(i)
          row = Add(x, f)
          w = Concat<axis = 0>(v, row)
          still = Identity(on)
          rows = ReduceSum<keepdims = 0>(w, first)
          t = Add(s, rows)
        }>
    }""")
    check(model, *({"n": np.array(n), "x": f32(1, 2)} for n in (3, 0, 6)))


def test_loop_within_loop():
    model = model_of("""g (int64 n, float[3] x) => (float[3] y) {
      go = Constant<value = bool {1}>()
      y = Loop (n, go, x) <body = b (int64 i, bool on, float[3] v) => (bool still, float[3] w) {
        still = Identity(on)
        w = Loop (i, on, v) <body = bb (int64 j, bool jon, float[3] p) => (bool jstill, float[3] q) {
          jstill = Identity(jon)
          fi = Cast<to = 1>(i)
          fj = Cast<to = 1>(j)
          d = Sub(fi, fj)
          h = Div(x, d)
          q = Add(p, h)
        }>
      }>
    }""")
    check(model, {"n": np.array(4), "x": f32(3)}, {"n": np.array(1), "x": f32(3)})


@pytest.mark.parametrize("steps", [5, "T"])
@pytest.mark.parametrize("attributes", ["", "scan_input_axes = [1, 0], scan_input_directions = [1, 0],",
                                        "scan_output_axes = [1], scan_output_directions = [1],",
                                        "scan_input_directions = [0, 1], scan_output_directions = [1],"])
def test_scan(steps, attributes):
    """A state, two scanned values and one result, along several axes and directions."""
    a_shape, r_shape = ("2,%s", "2,%s") if "input_axes" in attributes else ("%s,2", "%s,2")
    r_shape = "2,%s" if "output_axes" in attributes else "%s,2"
    model = model_of(f"""g (float[2] s, float[{a_shape % steps}] a, float[{steps},2] b)
                        => (float[2] last, float[{r_shape % steps}] r) {{
      last, r = Scan <num_scan_inputs = 2, {attributes}
        body = k (float[2] v, float[2] p, float[2] q) => (float[2] w, float[2] o) {{
          m = Mul(p, q)
          half = Constant<value = float {{0.5}}>()
          h = Mul(v, half)
          w = Add(h, m)
          o = Sub(w, q)
        }}> (s, a, b)
    }}""")
    for count_ in (5,) if steps == 5 else (5, 1, 3):
        a = f32(2, count_) if "input_axes" in attributes else f32(count_, 2)
        check(model, {"s": f32(2), "a": a, "b": f32(count_, 2)})


def test_what_a_body_cannot_do_is_named_with_what_the_model_cannot():
    model = model_of("""g (float[2] x, bool c) => (float[2] y, float[2] z) {
      y = If (c) <then_branch = t () => (float[2] a) { a = custom.Magic(x) },
                  else_branch = e () => (float[2] b) { b = Neg(x) }>
      z = custom.Other(x)
    }""")
    model.opset_import.add(domain="custom", version=1)
    with pytest.raises(UnsupportedError) as caught:
        convert(model, verify=False)
    assert "custom.Magic (no such operator" in str(caught.value) and "custom.Other (no" in str(caught.value)
    assert "If" not in str(caught.value)
