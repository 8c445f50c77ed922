"""What only Wisp's own operators know about themselves, in a module for each family.

Rules are functions under a decorator of rules.py: @quantize("Conv"), @pack("Conv"). One fact is an attribute of the modules,
read through `tables`: UNARY_TABLE, {operator: function(x, attrs)}; any chain of them becomes one Lookup. All other facts
about operators are traits in ops.def.
Importing this package imports every module in it.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from .rules import find

__all__ = ["find", "tables"]

_MODULES = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]


def tables() -> dict[str, Callable]:
    """UNARY_TABLE of all families."""
    return {op: function for m in _MODULES for op, function in vars(m).get("UNARY_TABLE", {}).items()}
