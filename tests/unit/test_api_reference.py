"""The reference of the Python API: every public name says what it is, and `make docs` makes pages of it."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest
import wisp
import wisp_converter
from conftest import ROOT


def public_names() -> Iterator[tuple[str, object]]:
    """Functions and classes that the packages offer, and what belongs to those classes alone."""
    for module in (wisp, wisp_converter):
        for name in module.__all__:
            thing = getattr(module, name)
            yield f"{module.__name__}.{name}", thing
            if inspect.isclass(thing):
                for member, value in vars(thing).items():
                    if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                        yield f"{module.__name__}.{name}.{member}", value


THINGS = dict(public_names())


@pytest.mark.parametrize("name", THINGS)
def test_docstrings(name):
    """There is one; that of a function speaks of each parameter by its name."""
    thing = THINGS[name]
    text = inspect.getdoc(thing) or ""
    assert text and not text.startswith(f"{name.rpartition('.')[2]}("), f"{name} has no docstring"
    if inspect.isfunction(thing):
        for parameter in inspect.signature(thing).parameters.values():
            if parameter.name != "self" and parameter.kind != parameter.VAR_KEYWORD:
                word = parameter.name.removesuffix("s")
                assert re.search(rf"\b{word}", text), f"{name}: what is {parameter.name}?"


def test_make_docs(tmp_path):
    """Without a warning; a page for each package, an entry for each name."""
    lines = subprocess.run(["make", "-n", "docs"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = shlex.split(next(line for line in lines.splitlines() if " pdoc " in line))
    assert words[words.index("--output-directory") + 1] == "build/docs"
    command = [sys.executable, *[str(tmp_path) if word == "build/docs" else word for word in words[1:]]]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 and "Warn" not in result.stderr, result.stderr[-3000:]
    for module in (wisp, wisp_converter):
        page = (tmp_path / f"{module.__name__}.html").read_text(encoding="utf-8")
        assert set(re.findall(r'<section id="(\w+)"', page)) == set(module.__all__)
