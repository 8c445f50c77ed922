"""Random generators against SplitMix64 and Box and Muller written here, and against what distributions promise."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from support import make_model
from wisp_converter import convert

F32 = np.float32


def draws(seed: float, count: int) -> np.ndarray:
    """The first draws of a seed, multiples of 2^-24 in [0, 1)."""
    with np.errstate(over="ignore"):
        n = (np.uint64(F32(seed).view(np.uint32)) << np.uint64(32)) + np.arange(1, count + 1, dtype=np.uint64)
        n *= np.uint64(0x9E3779B97F4A7C15)
        n = (n ^ n >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        n = (n ^ n >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return ((n ^ n >> np.uint64(31)) >> np.uint64(40)).astype(np.float64) / 2**24


def run(model, inputs=None, threads=1):
    return wisp.load(convert(model, verify=False), threads=threads).run(inputs or {})["y"]


@pytest.mark.parametrize("seed", [0.0, 1.5, -3.0])
def test_uniform(seed):
    model = make_model([("RandomUniform", [], ["y"], dict(shape=[20, 300], low=-2.0, high=3.0, seed=seed))], {}, ["y"])
    want = F32(-2) + draws(seed, 6000).astype(F32) * F32(5)
    for threads in (1, 2):
        np.testing.assert_array_equal(run(model, threads=threads), want.reshape(20, 300))


@pytest.mark.parametrize("extent", [500, "n"])
def test_normal_like(extent):
    node = ("RandomNormalLike", ["x"], ["y"], dict(mean=1.0, scale=0.5, seed=7.0))
    model = make_model([node], {"x": [4, extent]}, ["y"])
    u = draws(7.0, 4000)
    want = 1 + 0.5 * np.sqrt(-2 * np.log(1 - u[0::2])) * np.cos(2 * np.pi * u[1::2])
    got = run(model, {"x": np.zeros((4, 500), F32)})
    np.testing.assert_allclose(got.ravel(), want, rtol=0, atol=4e-6)
    assert abs(got.mean() - 1) < 0.05 and abs(got.std() - 0.5) < 0.02


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_element_types(dtype):
    kind = {np.float16: 10, np.float32: 1, np.float64: 11}[dtype]
    model = make_model([("RandomUniform", [], ["y"], dict(shape=[50], seed=2.0, dtype=kind))], {}, {"y": (dtype, [50])})
    np.testing.assert_array_equal(run(model), draws(2.0, 50).astype(F32).astype(dtype))


def test_nodes_without_a_seed_differ_and_runs_do_not():
    nodes = [("RandomUniform", [], ["a"], dict(shape=[100])), ("RandomUniform", [], ["b"], dict(shape=[100])),
             ("Sub", ["a", "b"], ["y"])]
    model = make_model(nodes, {}, ["y"])
    assert np.abs(run(model)).min() > 0
    np.testing.assert_array_equal(run(model), run(model))


@pytest.mark.parametrize("dtype", [np.float32, bool, np.int64])
def test_bernoulli(dtype):
    kind = {np.float32: 1, bool: 9, np.int64: 7}[dtype]
    p = np.linspace(0, 1, 1000).astype(F32)
    model = make_model([("Bernoulli", ["x"], ["y"], dict(seed=5.0, dtype=kind))], {"x": p}, {"y": (dtype, [1000])})
    np.testing.assert_array_equal(run(model, {"x": p}), (draws(5.0, 1000) < p).astype(dtype))


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_multinomial(dtype):
    kind = {np.int32: 6, np.int64: 7}[dtype]
    odds = np.array([[0.5, 0.25, 0.125, 0.125], [0.0625, 0.4375, 0.25, 0.25]])
    model = make_model([("Multinomial", ["x"], ["y"], dict(sample_size=4000, seed=3.0, dtype=kind))], {"x": odds.shape},
                       {"y": (dtype, [2, 4000])})
    got = run(model, {"x": np.log(odds).astype(F32)})
    want = [np.searchsorted(np.cumsum(o)[:-1], u, "right") for o, u in zip(odds, draws(3.0, 8000).reshape(2, 4000))]
    assert got.dtype == dtype and (got != want).mean() < 0.002  # sums of probabilities are rounded
    for row, o in zip(got, odds):
        np.testing.assert_allclose(np.bincount(row, minlength=4) / 4000, o, atol=0.03)
