"""The rules of Wisp's operators by name, and how a family module states them."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..ir import Dim

_RULES: dict[str, dict[str, Callable]] = {"accepts": {}, "lower": {}, "pack": {}, "takes": {}}


@dataclass(frozen=True)
class Whole:
    """The whole numbers an operand may hold: `count` of them from `first` on; or exactly `values`."""

    count: Dim = 1
    first: int = 0
    values: tuple[Dim, ...] | None = None


def find(kind: str, op: str) -> Callable | None:
    """The rule of this kind for an operator, or None."""
    return _RULES[kind].get(op)


def _stating(kind: str) -> Callable[..., Callable[[Callable], Callable]]:
    def decorator(*names: str) -> Callable[[Callable], Callable]:
        def state(function: Callable) -> Callable:
            for name in names:
                if name in _RULES[kind]:
                    raise ValueError(f"{name} has two {kind} rules: in {_RULES[kind][name].__module__} and "
                                     f"{function.__module__}")
                _RULES[kind][name] = function
            return function
        return state
    return decorator


accepts = _stating("accepts")
"""@accepts("Conv"): function(node) says why the annotated node cannot be lowered, or gives None."""
lower = _stating("lower")
"""@lower("Conv"): function(q, node) writes the integer form; see quantize/lower.py."""
pack = _stating("pack")
"""@pack("Conv"): function(graph, node) replaces plain constants by those in the kernels' layouts."""
takes = _stating("takes")
"""@takes("Gather"): function(node) gives {operand: Whole} for operands whose whole numbers mean something; or, instead
of a Whole, the result that holds the same numbers. See inputs.py."""
