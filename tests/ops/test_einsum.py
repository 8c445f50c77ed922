"""Einsum against numpy and ONNX Runtime."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from support import make_model
from wisp_converter import UnsupportedError, convert

rng = np.random.default_rng(17)

EQUATIONS = [
    "ij,jk->ik", "bij,bjk->bik", "ij->ji", "ij->", "ij->i", "i,i->", "i,j->ij", "ii->i", "ii", "bii->bi", "...ii->...i",
    "bhqd,bhkd->bhqk", "bqhd,bkhd->bhqk", "bhqk,bkhd->bqhd", "abc,cd,de->abe", "ij,jk,kl->il", "ij,ij->ij", "ij,ij->",
    "...ij,...jk->...ik", "i...,i...->...", "b...,b->b...", "abcd,cdef->abef", "ijk,ilm,njm,nlk->",
    "a,b,c->cba", "bij,k->bk", "ij,jk", "nchw,nvkc->nvkhw", "i...->...", " i j , j k -> i k ",
]
EXTENTS = {letter: 2 + i % 4 for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}


def operands(equation, dtype=np.float32):
    arrays = []
    for i, part in enumerate(equation.replace(" ", "").partition("->")[0].split(",")):
        dots = (1, 3) if i % 2 else (2, 3)  # broadcast against each other
        shape = [s for c in part.replace("...", ".") for s in (dots if c == "." else (EXTENTS[c],))]
        arrays.append(rng.integers(-4, 5, shape).astype(dtype))
    return arrays


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum(equation, symbolic):
    """Small integers: every order of summation gives the same."""
    arrays = operands(equation)
    inputs = {f"x{i}": a for i, a in enumerate(arrays)}
    want = np.einsum(equation, *arrays)
    letters = [list(p.replace("...", "12")) for p in equation.replace(" ", "").partition("->")[0].split(",")]
    spec = {n: (np.float32, [f"d{c}{i if c in '12' else ''}" for c in p] if symbolic else a.shape)
            for i, ((n, a), p) in enumerate(zip(inputs.items(), letters))}
    model = make_model([("Einsum", list(inputs), ["y"], {"equation": equation})], spec, {"y": [None] * want.ndim})
    if symbolic and any(len(set(p)) < len(p) for p in letters):
        with pytest.raises(UnsupportedError, match="the extent of a diagonal must be known"):
            convert(model, verify=False)
        return
    got = wisp.load(convert(model, verify=False)).run(inputs)["y"]
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64])
def test_einsum_of_other_dtypes(dtype):
    for equation in ("ij,jk->ik", "bij,bj->bi"):
        arrays = operands(equation, dtype)
        inputs = {f"x{i}": a for i, a in enumerate(arrays)}
        want = np.einsum(equation, *arrays)
        node = ("Einsum", list(inputs), ["y"], {"equation": equation})
        model = make_model([node], inputs, {"y": (dtype, want.shape)})
        np.testing.assert_array_equal(wisp.load(convert(model, verify=False)).run(inputs)["y"], want)


def test_einsum_that_does_not_fit_its_operands():
    model = make_model([("Einsum", ["x"], ["y"], {"equation": "ijk->i"})], {"x": (2, 3)}, {"y": [2]})
    with pytest.raises(UnsupportedError, match="'ijk' does not fit the 2 axes of 'x'"):
        convert(model, verify=False)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int64, np.uint32])
@pytest.mark.parametrize(("a", "b"), [((3, 4), (4, 5)), ((4,), (4,)), ((2, 1, 3, 4), (5, 4, 2)), ((0, 3), (3, 2)),
                                      ((2, 0), (0, 3))])
def test_matmul_of_dtypes_without_kernels(dtype, a, b):
    x, y = (rng.integers(0, 1 << 20, s).astype(dtype) for s in (a, b))
    want = np.matmul(x, y)
    model = make_model([("MatMul", ["a", "b"], ["y"])], {"a": x, "b": y}, {"y": (dtype, want.shape)})
    for threads in (1, 3):
        got = wisp.load(convert(model, verify=False), threads=threads).run({"a": x, "b": y})["y"]
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("zero_points", [(), ((), ()), ((1,), ()), ((3,), (5,)), ("", (5,))])
def test_matmulinteger(zero_points):
    a, b = rng.integers(0, 256, (3, 4)).astype(np.uint8), rng.integers(-128, 128, (4, 5)).astype(np.int8)
    names = ["a", "b", *("" if s == "" else f"z{i}" for i, s in enumerate(zero_points))]
    constants = {f"z{i}": rng.integers(0, 99, s).astype((np.uint8, np.int8)[i])
                 for i, s in enumerate(zero_points) if s != ""}
    za, zb = (np.asarray(constants.get(f"z{i}", 0), np.int64) for i in (0, 1))
    want = (a - (za[:, None] if za.ndim and za.size > 1 else za)) @ (b - zb)
    model = make_model([("MatMulInteger", names, ["y"])], {"a": a, "b": b}, {"y": (np.int32, (3, 5))}, constants)
    np.testing.assert_array_equal(wisp.load(convert(model, verify=False)).run({"a": a, "b": b})["y"], want)
