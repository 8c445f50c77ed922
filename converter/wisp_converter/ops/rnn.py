"""GRU, LSTM and RNN: layouts."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ..ir import Graph, Node
from ..target.layouts import packed_gemm
from .rules import pack


@pack("GRU", "LSTM", "RNN")
def pack_recurrent(graph: Graph, node: Node) -> None:
    weights = node.inputs[1]
    n, hidden = weights.data.shape
    node.inputs[1] = packed_gemm(weights.name, weights.data.reshape(n, 1, hidden))
