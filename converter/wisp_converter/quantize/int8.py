"""int8 post-training quantization: choose, assign, lower; everything else stays float and is named."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import ops
from ..ir import Graph, Node, Value
from ..passes import merge_common, remove_dead
from ..verify_graph import verify_graph
from .assign import assign
from .choose import FLOAT, Choice
from .lower import Lowering
from .round import LOW_SNR


def quantize_int8(graph: Graph, means: dict[Value, np.ndarray], say: Callable[[str], None] = lambda line: None) -> dict:
    """Rewrite the float graph, in place, so that as much as possible runs in int8. Inputs and outputs stay float.

    Value.range of its activations is set, see observe.py; means: of each activation, at each index of its last axis.
    Returns what was done, for the file's metadata; every node that stays float is also told through `say`.
    """
    choice = Choice(graph)
    choose_and_assign(choice)
    source = list(graph.nodes)
    lowering = Lowering(choice, means)
    lowering.run()
    _report(source, lowering, say)
    summary = {"int8_nodes": len(choice.nodes), "float_nodes": _float_names(source, choice)}
    for value in (v for n in source for v in (*n.inputs, *n.outputs) if v is not None):
        value.range = value.quant = None
    merge_common(graph)
    remove_dead(graph)
    verify_graph(graph, "quantize_int8")
    return summary


def choose_and_assign(choice: Choice) -> None:
    """Nodes and scales such that every rule accepts its own:
    a refusal leaves out one node more, and may free its group."""
    while True:
        choice.choose()
        assign(choice)
        refused = {n: reason for n in choice.graph.nodes if n in choice.nodes and (reason := _refusal(n))}
        if not refused:
            return
        for node, reason in refused.items():
            choice.refuse(node, reason)


def _refusal(node: Node) -> str | None:
    rule = ops.find("accepts", node.op)
    return rule(node) if rule else None


def _float_names(nodes: list[Node], choice: Choice) -> dict[str, str]:
    return {n.name: choice.reasons.get(n, "its neighbours are float") for n in _by_reason(nodes, choice)
            if n not in choice.nodes and any(v is not None and v.dtype == FLOAT for v in n.outputs)}


def _by_reason(nodes: list[Node], choice: Choice) -> list[Node]:
    """Those with a reason of their own last: of nodes that share a name, being made of one, these tell why."""
    return sorted(nodes, key=lambda n: n in choice.reasons)


def _report(nodes: list[Node], lowering: Lowering, say: Callable[[str], None]) -> None:
    choice, op_of = lowering.choice, {n.name: n.op for n in _by_reason(nodes, lowering.choice)}
    say(f"int8: {len(choice.nodes)} of {len(nodes)} nodes")
    for name, reason in _float_names(nodes, choice).items():
        say(f"stays float: {op_of[name]} {name!r}: {reason}")
    for node, snr in lowering.weight_snr.items():
        if snr < LOW_SNR:
            say(f"warning: {node.op} {node.name!r}: int8 weights have a SNR of only {snr:.1f} dB")
    if lowering.weight_snr:
        worst = min(lowering.weight_snr, key=lowering.weight_snr.get)
        say(f"int8 weights: lowest SNR {lowering.weight_snr[worst]:.1f} dB ({worst.name})")
