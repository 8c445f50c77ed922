"""ONNX as a source: `load` reads and checks a model, `import_graph` makes the Graph, a module for each family.

    @importer("Softmax")
    def Softmax(emit: Emit, *, axis: int = -1) -> None: ...

imports an operator of ONNX; its keyword parameters are the ONNX attributes with their defaults (an attribute it does
not name is an error that names it). It reads `emit.inputs` and adds nodes through `emit`. Importing this package
imports every module in it, and so fills the table of registry.py.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
