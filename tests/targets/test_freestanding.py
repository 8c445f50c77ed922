"""cbackend/freestanding, compiled for this machine: maths against numpy, integers and memory against Python."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from conftest import CBACKEND

FREESTANDING = CBACKEND / "freestanding"
SMALL = {"asinf", "acosf", "atanhf"}  # defined on -1..1
FUNCTIONS = {"logf": np.log, "sinf": np.sin, "cosf": np.cos, "tanf": np.tan, "asinf": np.arcsin, "acosf": np.arccos,
             "atanf": np.arctan, "sinhf": np.sinh, "coshf": np.cosh, "asinhf": np.arcsinh, "acoshf": np.arccosh,
             "atanhf": np.arctanh}
EXACT = {"floorf": np.floor, "ceilf": np.ceil, "sqrtf": np.sqrt, "rint": np.rint, "floor": np.floor, "ceil": np.ceil,
         "sqrt": np.sqrt}


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> ctypes.CDLL:
    """All of it as a library of this machine; f of maths also as all_f, with a loop around it."""
    if not shutil.which("cc"):
        pytest.skip("needs cc")
    folder = tmp_path_factory.mktemp("freestanding")
    lines = ["#include <math.h>", "double __hexagon_divdf3(double a, double b);"]
    for name in (*FUNCTIONS, *EXACT, "exp", "log"):
        real = "float" if name.endswith("f") else "double"
        lines.append(f"void all_{name}(const {real} *x, {real} *y, int n) "
                     f"{{ for (int i = 0; i < n; i++) y[i] = {name}(x[i]); }}")
    for name, real in (("powf", "float"), ("fmodf", "float"), ("pow", "double"), ("fmod", "double"),
                       ("__hexagon_divdf3", "double")):
        lines.append(f"void all_{name}(const {real} *a, const {real} *b, {real} *y, int n)"
                     f" {{ for (int i = 0; i < n; i++) y[i] = {name}(a[i], b[i]); }}")
    (folder / "loops.c").write_text("\n".join(lines) + "\n")
    command = ["cc", "-O2", "-std=c11", "-shared", "-fPIC", "-ffp-contract=off", "-fno-builtin",
               "-Wl,-Bsymbolic", "-nostdlib", "-isystem", FREESTANDING / "include", folder / "loops.c",
               *sorted(FREESTANDING.glob("*.c")), "-o", folder / "library.so"]
    subprocess.run(list(map(str, command)), check=True)
    return ctypes.CDLL(str(folder / "library.so"))


@pytest.fixture(scope="module")
def maths(library):
    def call(name: str, *arrays: np.ndarray) -> np.ndarray:
        out = np.empty_like(arrays[0])
        getattr(library, f"all_{name}")(*(ctypes.c_void_p(a.ctypes.data) for a in (*arrays, out)),
                                        ctypes.c_int(out.size))
        return out

    return call


def float_samples(small: bool) -> np.ndarray:
    rng = np.random.default_rng(5)
    bits = rng.integers(0, 1 << 32, 200_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    near = rng.uniform(-10, 10, 100_000).astype(np.float32)
    edges = np.float32([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 0.5, 1.4e-45, 3.4e38, np.pi / 2, np.pi, 88.7, 89, -104,
                        33554432, 33554430])
    return np.concatenate([rng.uniform(-1, 1, 200_000).astype(np.float32), edges] if small else [bits, near, edges])


def float_errors(got: np.ndarray, exact: np.ndarray) -> float:
    """Units in the last place of float32; infinite where specials or signs of zero differ."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        special = ~np.isfinite(rounded) | ~np.isfinite(got) | (rounded == 0)
        same = (got == rounded) & (np.signbit(got) == np.signbit(rounded)) | np.isnan(got) & np.isnan(rounded)
        units = np.abs(got.astype(np.float64) - exact) / np.spacing(np.abs(rounded)).astype(np.float64)
    limit = np.abs(exact[special & ~same])  # at the overflow and underflow limits either neighbour is right
    tolerated = (np.abs(limit - 2.0**128) < 2.0**103) | (np.abs(limit - 2.0**-150) < 2.0**-152)
    if not tolerated.all():
        return np.inf
    return float(units[~special].max(initial=0))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float_functions(maths, name):
    x = float_samples(name in SMALL)
    with np.errstate(all="ignore"):
        exact = FUNCTIONS[name](x.astype(np.float64))
    assert float_errors(maths(name, x), exact) <= 0.51


def test_powf(maths):
    rng = np.random.default_rng(6)
    a = np.concatenate([rng.uniform(0, 8, 100_000), np.exp(rng.uniform(-80, 80, 100_000)),
                        np.repeat([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, -2.5], 12)])
    b = np.concatenate([rng.uniform(-30, 30, 100_000), rng.uniform(-2, 2, 100_000),
                        np.tile([0, -0.0, 1, -1, 2, 3, 0.5, -0.5, np.inf, -np.inf, np.nan, -3], 8)])
    a, b = a.astype(np.float32), b.astype(np.float32)
    with np.errstate(all="ignore"):
        exact = np.power(a.astype(np.float64), b.astype(np.float64))
    assert float_errors(maths("powf", a, b), exact) <= 0.51


def test_fmod_is_exact(maths):
    rng = np.random.default_rng(7)
    specials = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 5e-324, 1e308, 2.5])
    for name, dtype, spread in (("fmodf", np.float32, 30), ("fmod", np.float64, 200)):
        a = (rng.standard_normal(20_000) * 2.0 ** rng.integers(-spread, spread, 20_000)).astype(dtype)
        b = (rng.standard_normal(20_000) * 2.0 ** rng.integers(-spread, spread, 20_000)).astype(dtype)
        with np.errstate(all="ignore"):
            a = np.concatenate([a, np.repeat(specials, 10).astype(dtype)])
            b = np.concatenate([b, np.tile(specials, 10).astype(dtype)])
            np.testing.assert_array_equal(maths(name, a, b), np.fmod(a, b))


def test_double_functions(maths):
    rng = np.random.default_rng(8)
    wide = np.longdouble
    if np.finfo(wide).nmant < 60:
        pytest.skip("needs a long double of more than 60 bits as the reference")

    def units(got, exact):
        good = np.isfinite(got) & (np.abs(got) > 1e-300)
        return float((np.abs(got.astype(wide) - exact)[good] / np.spacing(np.abs(got[good]))).max())

    x = np.concatenate([rng.uniform(-700, 700, 50_000), rng.uniform(-1, 1, 50_000)])
    assert units(maths("exp", x), np.exp(x.astype(wide))) <= 2
    x = np.concatenate([np.exp(rng.uniform(-700, 700, 50_000)), rng.uniform(0.5, 2, 50_000)])
    assert units(maths("log", x), np.log(x.astype(wide))) <= 2
    specials = np.array([np.inf, -np.inf, np.nan, 0.0, -1.0, 5e-324, 1000.0, -1000.0])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(maths("exp", specials), np.exp(specials), rtol=1e-15)
        np.testing.assert_allclose(maths("log", specials), np.log(specials), rtol=1e-15)
    a, b = np.exp(rng.uniform(-20, 20, 50_000)), rng.uniform(-30, 30, 50_000)
    assert np.max(np.abs(maths("pow", a, b).astype(wide) / np.power(a.astype(wide), b.astype(wide)) - 1)) <= 2e-13
    a, b = rng.uniform(-9, 9, 50_000), rng.integers(-64, 65, 50_000).astype(np.float64)
    ratio = maths("pow", a, b).astype(wide) / np.power(a.astype(wide), b.astype(wide))
    assert np.max(np.abs(ratio - 1)) <= 64 * 2.0**-53  # one rounding error for each multiplication that counts
    whole = np.arange(1, 16, dtype=np.float64)
    np.testing.assert_array_equal(maths("pow", whole, np.full(15, 13.0)), [float(n**13) for n in range(1, 16)])


def double_samples(count: int) -> np.ndarray:
    """Of any bits, of usual magnitudes, around whole numbers, subnormal; and the specials."""
    rng = np.random.default_rng(9)
    bits = rng.integers(0, 1 << 64, count, dtype=np.uint64)
    return np.concatenate([bits.view(np.float64), rng.uniform(-9, 9, count), rng.integers(-99, 99, count) / 2,
                           (bits >> 13).view(np.float64),
                           [0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308]])


@pytest.mark.parametrize("name", EXACT)
def test_exact_functions(maths, name):
    x = float_samples(False) if name.endswith("f") else double_samples(100_000)
    with np.errstate(all="ignore"):
        exact, got = EXACT[name](x), maths(name, x)
    np.testing.assert_array_equal(got, exact)
    np.testing.assert_array_equal(np.signbit(got)[exact == 0], np.signbit(exact)[exact == 0])


# ---- division


def test_division_of_doubles(maths):
    a = double_samples(100_000)
    rng = np.random.default_rng(10)
    b = rng.permutation(a)
    a, b = np.concatenate([a, np.repeat(a[-8:], 8)]), np.concatenate([b, np.tile(a[-8:], 8)])
    with np.errstate(all="ignore"):
        exact, got = a / b, maths("__hexagon_divdf3", a, b)
    assert (np.abs(exact) < 2.0**-1022).sum() > 1000 and np.isinf(exact).sum() > 1000
    np.testing.assert_array_equal(got, exact)
    np.testing.assert_array_equal(np.signbit(got)[exact == 0], np.signbit(exact)[exact == 0])


def test_division_of_integers(library):
    rng = np.random.default_rng(11)
    for bits, suffix, signed, unsigned in ((32, "si3", ctypes.c_int32, ctypes.c_uint32),
                                           (64, "di3", ctypes.c_int64, ctypes.c_uint64)):
        functions = {f"{sign}{what}": getattr(library, f"__hexagon_{sign}{what}{suffix}")
                     for sign in ("", "u") for what in ("div", "mod")}
        for name, f in functions.items():
            f.restype = unsigned if name.startswith("u") else signed
            f.argtypes = [f.restype, f.restype]
        edges = [0, 1, 2, 3, (1 << bits - 1) - 1, 1 << bits - 1, (1 << bits) - 1, (1 << bits // 2) - 1, 1 << bits // 2]
        some = [int(x) >> 64 - bits + int(s)
                for x, s in zip(rng.integers(0, 1 << 64, 1000, dtype=np.uint64), rng.integers(0, bits, 1000))]
        for a in edges + some:
            for b in [x for x in edges if x] + [max(1, some[a % 1000])]:
                assert (functions["udiv"](a, b), functions["umod"](a, b)) == divmod(a, b)
                n, d = signed(a).value, signed(b).value
                quotient = signed(abs(n) // abs(d) * (1 if (n < 0) == (d < 0) else -1)).value  # INT_MIN / -1 wraps
                remainder = abs(n) % abs(d) * (-1 if n < 0 else 1)
                assert (functions["div"](n, d), functions["mod"](n, d)) == (quotient, remainder)


# ---- memory


def test_memory(library):
    """Every alignment of both sides, sizes around the eight bytes of a step; nothing beyond the end is written."""
    rng = np.random.default_rng(12)
    start = rng.integers(0, 256, 192, dtype=np.uint8)
    for size in (*range(26), 64, 71):
        for to in range(16):
            for source in range(16):
                expected = start.copy()
                expected[to : to + size] = start[source : source + size]
                got = start.copy()
                library.memmove(ctypes.c_void_p(got.ctypes.data + to), ctypes.c_void_p(got.ctypes.data + source),
                                ctypes.c_size_t(size))
                np.testing.assert_array_equal(got, expected)
                got = start.copy()
                library.memcpy(ctypes.c_void_p(got.ctypes.data + to), ctypes.c_void_p(start.ctypes.data + source),
                               ctypes.c_size_t(size))
                np.testing.assert_array_equal(got, expected)
            expected = start.copy()
            expected[to : to + size] = 200
            got = start.copy()
            library.memset(ctypes.c_void_p(got.ctypes.data + to), 200 + 256, ctypes.c_size_t(size))
            np.testing.assert_array_equal(got, expected)
    for a, b in ((b"", b""), (b"abc", b"abc"), (b"abc", b"abd"), (b"\xff", b"\x01"), (b"ab\0c", b"ab\0b")):
        for name in ("memcmp", "bcmp"):
            got = getattr(library, name)(a, b, ctypes.c_size_t(len(a)))
            assert np.sign(got) == (a > b) - (a < b)
    assert [library.strlen(text) for text in (b"", b"a", b"wisp")] == [0, 1, 4]
