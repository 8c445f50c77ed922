"""State the extents that ONNX's inference left open, where one prepare of the whole graph finds them."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ..ir import Graph
from .evaluate import find_shapes


def settle_shapes(graph: Graph) -> None:
    """After: where all inputs are static, every extent that does not depend on data is stated."""
    if not all(v.is_static for v in graph.inputs):
        return
    unknown = [v for v in graph.values() if not v.is_static]
    if unknown:
        for value, shape in zip(unknown, find_shapes(graph, unknown)):
            value.shape = shape
