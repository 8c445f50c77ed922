"""Sessions whose inputs and outputs are arrays in the arena; arrays of the caller; `model(x)`; what outlives what."""
# SPDX-License-Identifier: Apache-2.0
import gc
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
import wisp
from conftest import onnx_model
from onnx import helper
from wisp_converter import convert


def two_in_two_out(extent="N") -> bytes:
    """total = a + b, product = a * b."""
    f = (np.float32, [extent, 2])
    nodes = [helper.make_node("Add", ["a", "b"], ["total"]), helper.make_node("Mul", ["a", "b"], ["product"])]
    return convert(onnx_model(nodes, {"a": f, "b": f}, {"total": f, "product": f}), verify=False)


def stretched() -> bytes:
    """e = x as often as the input s[0] says; total = the sum of that."""
    nodes = [helper.make_node("Expand", ["x", "s"], ["e"], "stretch"),
             helper.make_node("ReduceSum", ["e", "axes"], ["total"], keepdims=0)]
    outputs = {"e": (np.float32, ["K", 32]), "total": (np.float32, [32])}
    return convert(onnx_model(nodes, {"x": (np.float32, [1, 32]), "s": (np.int64, [2])}, outputs,
                              {"axes": np.int64([0])}), verify=False)


A, B = np.float32([[1, 2], [3, 4], [5, 6]]), np.float32([[7, 8], [9, 10], [11, 12]])


# ---- views


@pytest.mark.parametrize("kind", ["float", "int8", "dynamic"])
@pytest.mark.parametrize("threads", [1, 2])
def test_views_are_the_model_s_memory(small_files, x8, kind, threads):
    model = wisp.load(small_files[kind], threads=threads)
    session = model.session({"x": x8.shape})
    x, y = session.inputs["x"], session.outputs["y"]
    for i in range(5):
        x[...] = x8 * i
        session.run()
        assert np.array_equal(y, model.run(x8 * i)["y"])
    assert session.inputs["x"] is x and session.outputs["y"] is y
    assert np.shares_memory(x, session._arena) and np.shares_memory(y, session._arena)


def test_a_run_allocates_nothing(small_files, x8):
    session = wisp.load(small_files["int8"]).session()
    x = session.inputs["x"]

    def frames(count: int) -> int:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(count):
            x[...] = x8
            session.run()
        return tracemalloc.get_traced_memory()[1] - before

    frames(10)
    tracemalloc.start()
    try:
        few = frames(10)
        assert frames(1000) <= few + 200
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_what_a_call_costs():
    """In one run beside ONNX Runtime: microseconds, the least of many loops."""
    import call_overhead

    best = call_overhead.measure()
    print({caller: round(us, 2) for caller, us in best.items()})
    assert best["wisp model.run({x: x}, out=)"] < 3 and best["wisp session.run(), views filled and read"] < 2
    assert best["wisp model.run({x: x}, out=)"] < best["ONNX Runtime IOBinding"]


def test_outputs_cannot_be_written(small_files):
    """One that is a constant lies in the mapped file: writing there would end the process."""
    with pytest.raises(ValueError, match="read-only"):
        wisp.load(small_files["float"]).session().outputs["y"][...] = 0


def test_sessions_of_other_extents():
    model = wisp.load(two_in_two_out())
    with pytest.raises(wisp.ShapeError, match="'N' is left unbound"):
        model.session()
    one, three = (model.session({"a": (n, 2)}) for n in (1, 3))
    for session, n in ((one, 1), (three, 3)):
        session.inputs["a"][...], session.inputs["b"][...] = A[:n], B[:n]
    for session, n in ((one, 1), (three, 3)):
        session.run()
        assert np.array_equal(session.outputs["total"], A[:n] + B[:n])
        assert np.array_equal(session.outputs["product"], A[:n] * B[:n])
    one.resize((2,))
    one.inputs["a"][...], one.inputs["b"][...] = A[:2], B[:2]
    one.run()
    assert np.array_equal(one.outputs["product"], A[:2] * B[:2])


def test_extents_that_a_run_finds_out():
    session, rng = wisp.load(stretched()).session(), np.random.default_rng(5)
    x, s = session.inputs["x"], session.inputs["s"]
    for count in (1, 3, 7000, 0, 90, 20000):  # the arena grows twice, and the run begins again
        x[...], s[...] = want, _ = rng.standard_normal((1, 32)).astype(np.float32), (count, 1)
        session.run()
        assert session.inputs["x"] is x and np.array_equal(x, want)
        assert np.array_equal(session.outputs["e"], np.repeat(want, count, axis=0))
        np.testing.assert_allclose(session.outputs["total"], want[0] * count, rtol=1e-5)


def test_an_arena_that_is_large_enough_is_bound_again():
    """After many extents few: the larger arena is kept, and serves a run that finds out that it needs more scratch."""
    nodes = [helper.make_node("Expand", ["x", "s"], ["e"]), helper.make_node("MatMul", ["e", "w"], ["y"])]
    inputs = {"x": (np.float32, [1, "N"]), "s": (np.int64, [2]), "w": (np.float32, ["N", 33])}
    model = wisp.load(convert(onnx_model(nodes, inputs, {"y": (np.float32, ["K", 33])}), verify=False), threads=2)
    for extent, count in ((5000, 40), (1, 1), (1, 3000), (20, 300), (5000, 4)):
        x, w = np.ones((1, extent), np.float32), np.ones((extent, 33), np.float32)
        got = model.run({"x": x, "s": [count, 1], "w": w})["y"]
        assert np.array_equal(got, np.full((count, 33), extent, np.float32))


# ---- what outlives what


def test_arrays_outlive_session_and_model(small_files, x8):
    model = wisp.load(small_files["float"])
    session, want = model.session(), model.run(x8)["y"]
    session.inputs["x"][...] = x8
    session.run()
    x, y, gone = session.inputs["x"], session.outputs["y"], weakref.ref(session)
    model.close()
    del model, session
    gc.collect()
    assert gone() is None
    for _ in range(20):  # others would take freed memory
        np.full(1 << 16, 0xA5, np.uint8)
    assert np.array_equal(y, want)
    x[...] = 1


def test_a_session_outlives_its_model(small_files, x8):
    for threads in (1, 3):
        model = wisp.load(small_files["float"], threads=threads)
        session, want = model.session(), model.run(x8)["y"]
        model.close()
        session.inputs["x"][...] = x8
        session.run()
        assert np.array_equal(session.outputs["y"], want)
        for call in (model.session, model.reset, lambda: model.run(x8), lambda: model.arena_bytes):
            with pytest.raises(wisp.ArgumentError, match="the model is closed"):
                call()


def test_one_thread_at_a_time(small_files):
    session = wisp.load(small_files["float"]).session()
    stop, refused, wrong = threading.Event(), [], []

    def work() -> None:
        while not stop.is_set():
            try:
                session.run()
            except wisp.ArgumentError as error:
                refused.append(str(error))
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    stop.wait(1)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong and set(refused) <= {"the session is running in another thread; make one for each thread"}
    with session._busy, pytest.raises(wisp.ArgumentError, match="in another thread"):
        session.run()


def test_a_session_stays_where_it_is(small_files):
    import copy
    import pickle

    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="pickle the model"):
            act(wisp.load(small_files["float"]).session())


# ---- out=, model(x)


@pytest.mark.parametrize("make", [np.empty, lambda s, d: np.empty((s[0], 2 * s[1]), d)[:, ::2],
                                  lambda s, d: np.empty(s, d, order="F")])
def test_arrays_of_the_caller_are_filled(make):
    model = wisp.load(two_in_two_out(), threads=2)
    out = {"total": make((3, 2), np.float32), "product": make((3, 2), np.float32)}
    for _ in range(2):
        for array in out.values():
            array[...] = np.nan
        assert model.run({"a": A, "b": B.tolist()}, out=out) is out
        assert np.array_equal(out["total"], A + B) and np.array_equal(out["product"], A * B)
    some = {"product": np.empty((3, 2), np.float32)}
    assert model.run({"b": B, "a": A}, out=some) is some and np.array_equal(some["product"], A * B)


def test_an_input_may_be_an_output():
    a, model = A.copy(), wisp.load(two_in_two_out())
    model.run({"a": a, "b": B}, out={"total": a})
    assert np.array_equal(a, A + B)


def read_only() -> np.ndarray:
    array = np.zeros((3, 2), np.float32)
    array.flags.writeable = False
    return array


one_array = np.zeros((3, 2), np.float32)


@pytest.mark.parametrize("out, error, text", [
    ({"sum": np.zeros((3, 2), np.float32)}, wisp.ArgumentError,
     "out names 'sum'; the model's outputs are: 'total', 'product'"),
    ({"total": np.zeros((3, 2))}, wisp.DtypeError, r"out\['total'\] is float64, expected float32"),
    ({"total": np.zeros((3, 2), ">f4")}, wisp.DtypeError, r"out\['total'\] is >f4, expected float32"),
    ({"total": np.zeros((1, 2), np.float32)}, wisp.ShapeError, r"out\['total'\] has shape \[1, 2\], expected \[3, 2\]"),
    ({"total": [[0.0] * 2] * 3}, wisp.DtypeError, r"out\['total'\] is list, expected a numpy array"),
    ({"total": read_only()}, wisp.ArgumentError, r"out\['total'\] is read-only"),
    ({"total": one_array, "product": one_array}, wisp.ArgumentError, "out has one array for two outputs"),
])
def test_arrays_that_do_not_fit(out, error, text):
    with pytest.raises(error, match=text):
        wisp.load(two_in_two_out()).run({"a": A, "b": B}, out=out)


def test_arrays_for_extents_that_a_run_finds_out():
    model, inputs = wisp.load(stretched()), {"x": np.ones((1, 32), np.float32), "s": np.int64([2, 1])}
    out = {"e": np.zeros((2, 32), np.float32)}
    assert model.run(inputs, out=out)["e"].sum() == 64
    with pytest.raises(wisp.ShapeError, match=r"out\['e'\] has shape \[3, 32\], expected \[2, 32\]"):
        model.run(inputs, out={"e": np.zeros((3, 32), np.float32)})


def test_a_failed_run_leaves_the_caller_s_arrays():
    source = onnx_model([helper.make_node("Gather", ["t", "i"], ["y"])], {"i": (np.int64, [1])},
                        {"y": (np.float32, [1])}, {"t": np.float32([1, 2, 3])})
    model, out = wisp.load(convert(source, verify=False)), {"y": np.float32([9])}
    with pytest.raises(wisp.InputIndexError):
        model.run(np.int64([7]), out=out)
    assert out["y"] == 9 and model.run(np.int64([2]), out=out)["y"] == 3


def test_calling_the_model(small_files, x8):
    one, two = wisp.load(small_files["float"]), wisp.load(two_in_two_out())
    want = one.run(x8)["y"]
    for got in (one(x8), one(x=x8), one({"x": x8})):
        assert isinstance(got, np.ndarray) and np.array_equal(got, want)
    for got in (two(A, B), two(A, b=B), two(b=B, a=A), two({"a": A, "b": B})):
        assert list(got) == ["total", "product"] and np.array_equal(got["total"], A + B)
    for call, text in ((lambda: two(A, B, A), "3 inputs given; the model has 2"), (lambda: two(A), "missing input 'b'"),
                       (lambda: two(A, a=A), "input 'a' is given twice"), (lambda: two(A, c=B), "unknown input 'c'")):
        with pytest.raises(wisp.ArgumentError, match=text):
            call()
