"""The importers of ONNX's operators by domain and name."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

DEFAULT_DOMAIN = "ai.onnx"

_IMPORTERS: dict[tuple[str, str], Callable] = {}


def importer(*names: str, domain: str = DEFAULT_DOMAIN) -> Callable[[Callable], Callable]:
    """Decorator: the function imports these operators of `domain`. A second importer of one operator is an error."""
    def register(function: Callable) -> Callable:
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
