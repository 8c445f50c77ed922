"""Requantization as docs/quantization.md writes it, against the runtime's at every edge, on every instruction set."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import wisp
from support_graph import run_node
from wisp import _library
from wisp._library import lib
from wisp_converter.target.format import CHANNELS
from wisp_converter.target.layouts import packed_channels

SHIFTS = range(-15, 32)
MULTIPLIERS = (0, 1, 16383, 16384, 16385, 24763, 32766, 32767)


def machine_sets() -> list[str]:
    return [name for bit, name in enumerate(_library.instruction_sets()) if lib.wisp_cpu_flags() >> bit & 1]


def requantize(acc, shift, multiplier, lo: int, hi: int) -> np.ndarray:
    """Section 3, in whole numbers without bounds (float64 holds none of these; int64 holds all)."""
    acc, shift, multiplier = (np.asarray(a, np.int64) for a in (acc, shift, multiplier))
    t = np.where(shift >= 0, acc >> np.maximum(shift, 0), acc * 2 ** np.maximum(-shift, 0))
    t = np.clip(t, -32768, 32767)
    p = (t * multiplier + 2**14) >> 15
    return np.minimum(np.maximum((p + 64) >> 7, lo), hi)


def accumulators(shift: int, multiplier: int) -> list[int]:
    """Where something happens: ends of int32 and of 16 bits after the shift, zero,
    and each side of ties of both roundings."""
    unit = 2 ** max(shift, 0)
    edges = [0, unit // 2, -(2**31), 2**31 - 1, 32767 * unit, 32768 * unit, -32768 * unit, -32769 * unit, 32767, 32768,
             -32768, -32769]
    edges += [end >> -min(shift, 0) for end in (32767, -32768)]  # what a left shift still fits
    for y in (-129, -128, -127, -1, 0, 1, 126, 127, 128):
        edges += [(256 * y + 128) * 2**14 // max(multiplier, 1) * unit // 2 ** max(-shift, 0)]  # y + 1/2, nearly
    near = {edge + d * step for edge in edges for d in (-1, 0, 1) for step in (1, unit)}
    return sorted(a for a in near if -(2**31) <= a < 2**31)


def through_the_runtime(acc, shift, multiplier, lo: int, hi: int, cpu: str, n: int | None = None) -> np.ndarray:
    """A Gemm of one input 5 and a weight 3 for each channel, whose bias makes the accumulator what is asked for. n:
    channels, if fewer."""
    n, given = n or len(acc), len(acc)
    blocks = np.zeros(-(-n // 16), CHANNELS)

    def spread(values) -> np.ndarray:
        return np.pad(np.asarray(values, np.int64),
                      (0, 16 * len(blocks) - given)).astype(np.uint32).view(np.int32).reshape(-1, 16)

    bias = np.asarray(acc, np.int64) - 5 * 3
    blocks["bias"], blocks["bias_u8"] = spread(bias & 0xFFFFFFFF), spread(bias - 128 * 3 & 0xFFFFFFFF)
    blocks["shift"], blocks["multiplier"] = spread(shift), spread(multiplier)
    operands = [np.full((1, 1), 5, np.int8), np.full((n, 1), 3, np.int8), packed_channels("channels", blocks, n)]
    return run_node("Gemm", operands, (1, n), scale=1.0, cpu=cpu, lo=lo, hi=hi)[0]


@pytest.mark.parametrize("cpu", machine_sets())
@pytest.mark.parametrize("lo, hi", [(-128, 127), (0, 127), (-7, 90), (3, 3)])
def test_every_edge(cpu, lo, hi):
    rng = np.random.default_rng(3)
    for shifts in ([s for s in SHIFTS if s >= 0], SHIFTS):  # kernels have a short way where nothing is shifted left
        rows = [(a, s, m) for s in shifts for m in MULTIPLIERS for a in accumulators(s, m)]
        rows += [(int(a), int(s), int(m))
                 for a, s, m in zip(rng.integers(-(2**31), 2**31, 4000) >> rng.integers(0, 32, 4000),
                                    rng.choice(shifts, 4000), rng.integers(16384, 32768, 4000))]
        acc, shift, multiplier = map(np.array, zip(*rows))
        got = through_the_runtime(acc, shift, multiplier, lo, hi, cpu)
        want = requantize(acc, shift, multiplier, lo, hi)
        wrong = np.flatnonzero(got != want)
        assert not wrong.size, (f"(acc, shift, multiplier) {rows[wrong[0]]} gives {got[wrong[0]]} "
                                f"instead of {want[wrong[0]]}; {wrong.size} differ")


def test_it_rounds_the_real_product():
    """What it is for: within one step of acc * S + 1/2 floored, and exact away from ties."""
    rng = np.random.default_rng(4)
    acc, multiplier = rng.integers(-(2**24), 2**24, 100_000), rng.integers(16384, 32768, 100_000)
    shift = rng.integers(0, 18, 100_000)
    exact = acc * multiplier / 2.0 ** (22 + shift)
    got = requantize(acc + np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0), shift, multiplier, -128, 127)
    want = np.clip(np.floor(exact + 0.5), -128, 127)
    far = np.abs(exact - np.floor(exact) - 0.5) > 1 / 128
    assert np.array_equal(got[far], want[far]) and np.abs(got - want).max() <= 1 and 0.8 < far.mean() < 1


@pytest.mark.parametrize("shift, multiplier, lo, hi, words", [
    (32, 16384, -128, 127, "shift"), (-16, 16384, -128, 127, "shift"), (0, 32768, -128, 127, "multiplier"),
    (0, -1, -128, 127, "multiplier"), (0, 16384, 10, -10, "lo and hi"), (0, 16384, -129, 127, "lo and hi"),
    (0, 16384, -128, 128, "lo and hi"),
])
def test_nonsense_is_refused(shift, multiplier, lo, hi, words):
    with pytest.raises(wisp.BadFileError, match=words):
        through_the_runtime([0] * 17, [0] * 16 + [shift], [16384] * 16 + [multiplier], lo, hi, "scalar")


@pytest.mark.parametrize("shift, multiplier", [(1, 0), (0, 16384)])
def test_padding_channels_are_zero(shift, multiplier):
    with pytest.raises(wisp.BadFileError, match="padding channel"):
        through_the_runtime([0] * 19, [0] * 18 + [shift], [16384] * 17 + [0, multiplier], -128, 127, "scalar", n=17)
