"""The importers of ONNX's operators by domain and name."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

DEFAULT_DOMAIN = "ai.onnx"

_IMPORTERS: dict[tuple[str, str], Callable] = {}


def importer(*names: str, domain: str = DEFAULT_DOMAIN, any_dtype: bool = False) -> Callable[[Callable], Callable]:
    """Decorator: the function imports these operators of `domain`. A second importer of one operator is an error.

    any_dtype: it takes values of every element type as they are, for the runtime moves or converts elements and does
    not compute with them. All others see float32 where the node has float16 or bfloat16: its results are rounded.
    """
    def register(function: Callable) -> Callable:
        function.any_dtype = any_dtype
        for name in names:
            if (domain, name) in _IMPORTERS:
                raise ValueError(f"{domain}.{name} has two importers: {_IMPORTERS[domain, name].__module__} and "
                                 f"{function.__module__}")
            _IMPORTERS[domain, name] = function
        return function
    return register


def find(domain: str, name: str) -> Callable | None:
    """The importer of an operator, or None. ONNX writes its default domain as "" as well."""
    return _IMPORTERS.get((domain or DEFAULT_DOMAIN, name))


def importers() -> list[str]:
    """Every operator that can be imported: its name, after its domain where that is not ONNX's own."""
    return sorted(name if domain == DEFAULT_DOMAIN else f"{domain}.{name}" for domain, name in _IMPORTERS)
