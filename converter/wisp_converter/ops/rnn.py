"""GRU, LSTM and RNN: layouts and scratch."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ..format import round_up
from ..ir import Graph, Node
from ..layouts import PANEL, packed_gemm
from .rules import pack, scratch


@pack("GRU", "LSTM", "RNN")
def pack_recurrent(graph: Graph, node: Node) -> None:
    weights = node.inputs[1]
    n, hidden = weights.data.shape
    node.inputs[1] = packed_gemm(weights.name, weights.data.reshape(n, 1, hidden))


@scratch("GRU", "LSTM", "RNN")
def scratch_recurrent(node: Node) -> int:
    """Products of all gates, h before and after a step, and one more state: the formula of rnn.c."""
    n, _, hidden = node.inputs[1].dims
    return 4 * node.inputs[0].shape[1] * (n + 3 * round_up(hidden, PANEL))
