"""GRU, LSTM and RNN: layouts, and what lengths they take."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ..ir import Graph, Node
from ..target.layouts import packed_gemm
from .rules import Whole, pack, takes


@pack("GRU", "LSTM", "RNN")
def pack_recurrent(graph: Graph, node: Node) -> None:
    weights = node.inputs[1]
    n, hidden = weights.data.shape
    node.inputs[1] = packed_gemm(weights.name, weights.data.reshape(n, 1, hidden))


@takes("GRU", "LSTM", "RNN")
def takes_lengths(node: Node) -> dict[int, Whole]:
    steps = node.inputs[0].shape
    return {3: Whole(steps[0], 1)} if steps else {}
