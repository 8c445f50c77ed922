"""What only Wisp's own operators know about themselves, in a module for each family.

Rules are functions under a decorator of rules.py: @quantize("Conv"), @pack("Conv"). One fact is an attribute of the modules,
read through `tables`: UNARY_TABLE, {operator: function(x, attrs)} in double precision; any chain of them becomes one Lookup.
All other facts about operators are traits in ops.def.
Importing this package imports every module in it.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from ..opcodes import has_trait, opcodes
from .activation import unary_by_runtime
from .rules import find

__all__ = ["find", "tables"]

_MODULES = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]


def tables() -> dict[str, Callable]:
    """UNARY_TABLE of all families, and for other UNARY operators what the runtime computes."""
    stated = {op: function for m in _MODULES for op, function in vars(m).get("UNARY_TABLE", {}).items()}
    return {op: unary_by_runtime(op) for op in opcodes() if has_trait(op, "UNARY")} | stated
