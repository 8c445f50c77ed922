"""The proof of a conversion: what it tolerates, where infinities and NaN must stand; a wrong result is an error."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from support import make_model
from wisp_converter import VerifyError, convert, verify

WANT = np.float32([[1, -2, 0.5], [4, 0, -3]])


def convert_against(monkeypatch, source) -> bytes:
    """A conversion of y = x whose source claims that y is source(x)."""
    monkeypatch.setattr(verify, "run_source", lambda model, inputs: {"y": source(inputs["x"].copy())})
    return convert(make_model([("Neg", ["x"], ["n"]), ("Neg", ["n"], ["y"])], {"x": [2, 3]}, {"y": [2, 3]}))


@pytest.mark.parametrize("part, holds", [(0.0, True), (0.9e-3, True), (1.2e-3, False), (-1.2e-3, False), (1.0, False)])
def test_tolerance(monkeypatch, part, holds):
    """A thousandth of the largest value."""
    def source(x):
        x.flat[np.abs(x).argmax()] *= 1 + part
        return x

    if holds:
        assert convert_against(monkeypatch, source)
    else:
        with pytest.raises(VerifyError, match="'?y'?"):
            convert_against(monkeypatch, source)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("exchanged", [False, True])
def test_what_is_not_finite_stands_at_its_place(value, exchanged):
    other = WANT.copy()
    other[0, 1] = value
    pair = (WANT, other) if exchanged else (other, WANT)
    assert verify.compare("y", *pair).relative == np.inf
    assert verify.compare("y", other, other).relative == 0
    with pytest.raises(VerifyError, match="shape"):
        verify.compare("y", WANT, WANT[:1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_instead_of_none_is_an_error(monkeypatch, value):
    def source(x):
        x[0, 1] = value
        return x

    with pytest.raises(VerifyError, match="'?y'?"):
        convert_against(monkeypatch, source)
