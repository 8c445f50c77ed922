"""What only Wisp's own operators know about themselves, in a module for each family.

Rules are functions under a decorator of rules.py: @quantize("Conv"), @pack("Conv"), @scratch("Conv"). Facts are attributes
of the modules, read through `names` and `tables`:
    SAME_SCALE    operators that move values: int8 in, int8 out, one scale for both
    IN_PLACE      operators whose output 0 may take over the memory of an input
    JOINS         operators whose inputs may be placed inside their output
    UNARY_TABLE   {operator: function(x, attrs)}: any chain of them becomes one Lookup
Importing this package imports every module in it.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from .rules import find

__all__ = ["find", "names", "tables"]

_MODULES = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]


def names(fact: str) -> frozenset[str]:
    """The operators that SAME_SCALE, IN_PLACE or JOINS of any family lists."""
    return frozenset().union(*(vars(m).get(fact, ()) for m in _MODULES))


def tables() -> dict[str, Callable]:
    """UNARY_TABLE of all families."""
    return {op: function for m in _MODULES for op, function in vars(m).get("UNARY_TABLE", {}).items()}
