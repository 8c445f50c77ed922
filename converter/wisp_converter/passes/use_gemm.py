"""MatMul by a constant matrix becomes Gemm, whose weights are packed for the kernels."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Graph, constant


def use_gemm(graph: Graph) -> None:
    """After: no f32 MatMul of rank 1 or more has a constant, non-empty matrix [k, n] on the right."""
    for node in graph.nodes:
        if node.op != "MatMul":
            continue
        x, matrix = node.inputs
        if (matrix.data is not None and matrix.data.ndim == 2 and matrix.data.size
                and matrix.dtype == np.float32 and x.shape):
            node.op = "Gemm"
            node.inputs = [x, constant(matrix.name, matrix.data.T), None]
