"""Importers: one function for each ONNX operator, in a module for each family. Found by name; nothing is registered.

    def Softmax(x: Emit, *, axis: int = -1) -> None: ...

The function is named as in ONNX, its keyword parameters are the ONNX attributes with their defaults (an attribute it
does not name is an error that names it). It reads `emit.inputs` and adds nodes through `emit`. A function
`quantize_NAME(q, node)` beside it says how the int8 form is made; see quantize.py.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache


@cache
def _modules() -> list:
    return [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]


@cache
def find(name: str) -> Callable | None:
    """The function called `name` that some family module defines itself, or None."""
    for module in _modules():
        function = vars(module).get(name)
        if callable(function) and getattr(function, "__module__", None) == module.__name__:
            return function
    return None


def importers() -> dict[str, Callable]:
    """Every ONNX operator that can be imported, by name."""
    return {n: f for m in _modules() for n, f in vars(m).items()
            if callable(f) and n[:1].isupper() and getattr(f, "__module__", None) == m.__name__}
