"""What only Wisp's own operators know about themselves, in a module for each family.

Rules are functions under a decorator of rules.py: @accepts("Conv"), @lower("Conv"), @pack("Conv"),
@takes("Gather"). Two facts are attributes of the modules, read through `tables` and `fixed_scales`:
    UNARY_TABLE   {operator: function(x, attrs)} in double precision: any chain of them becomes one Lookup
    FIXED_SCALE   {operator: (scale, zero point)} of int8 outputs whose range follows from the operator
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

__all__ = ["find", "fixed_scales", "tables"]

_MODULES = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]


def tables() -> dict[str, Callable]:
    """UNARY_TABLE of all families, and for other UNARY operators what the runtime computes."""
    stated = {op: function for m in _MODULES for op, function in vars(m).get("UNARY_TABLE", {}).items()}
    return {op: unary_by_runtime(op) for op in opcodes() if has_trait(op, "UNARY")} | stated


def fixed_scales() -> dict[str, tuple[float, int]]:
    """FIXED_SCALE of all families."""
    return {op: scale for m in _MODULES for op, scale in vars(m).get("FIXED_SCALE", {}).items()}
