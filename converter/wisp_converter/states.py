"""States: outputs that a model reads again in its next run, kept inside the session instead of by the caller.

From import to planning they stay inputs and outputs of the graph, the last ones in both lists, so that no pass, scale
or body treats them in a way of its own: `visible` is the graph without them, `take_out` makes them states of the file.
They are stored as the source has them, floats also in an int8 model: what a session carries on loses no bits.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .errors import ModelError
from .ir import Graph, Value, constant
from .passes.edit import copy_node
from .target.format import State, tensor_size

RUNS = 4  # that are compared with as many of the source


@dataclass
class States:
    """`inputs`: the name of each input by that of the output it is in the next run; in the graph's order. `initial`:
    arrays by input."""

    inputs: dict[str, str] = field(default_factory=dict)
    initial: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def runs(self) -> int:
        return RUNS if self.inputs else 1

    def visible(self, graph: Graph) -> Graph:
        """The graph as callers see it; its values and nodes are those of `graph`."""
        inputs, outputs = (v[:len(v) - len(self.inputs)] for v in (graph.inputs, graph.outputs))
        return Graph(inputs, outputs, graph.nodes, graph.metadata)

    def next_values(self, graph: Graph) -> dict[str, Value]:
        """What each state becomes, by input."""
        return dict(zip(self.inputs.values(), graph.outputs[len(graph.outputs) - len(self.inputs):]))

    def carry(self, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs of the next run from the source's outputs."""
        return {there: outputs[here] for here, there in self.inputs.items()}

    def take_out(self, graph: Graph) -> list[State]:
        """Remove the states from the graph's inputs and outputs."""
        following, visible = self.next_values(graph), self.visible(graph)
        states = [State(v, following[v.name], self._start(v.name)) for v in graph.inputs[len(visible.inputs):]]
        graph.inputs, graph.outputs = visible.inputs, visible.outputs
        return states

    def _start(self, name: str) -> Value | None:
        array = self.initial[name]
        return constant(f"{name}.initial", array) if array.tobytes().strip(b"\0") else None

    def describe(self, graph: Graph) -> list[str]:
        return [f"state {name!r}: {v.dtype} {_text(v)}, {tensor_size(v)} bytes, becomes {out!r} after each run"
                for (out, name), v in zip(self.inputs.items(), graph.inputs[len(graph.inputs) - len(self.inputs):])]


def find_states(graph: Graph, state: Mapping[str, str] | None, keep: Iterable[str],
                defaults: Mapping[str, np.ndarray]) -> States:
    """States by {output: input}; `defaults`: initial values by input, zeros without. Their outputs are none of the file
    unless `keep` names them or no other is left. Puts them behind the graph's other inputs and outputs. ModelError."""
    state, keep = dict(state or {}), set(keep)
    results, operands = ({v.name: v for v in values} for values in (graph.outputs, graph.inputs))
    for name in (*state, *keep):
        _require(name, results, "output")
    for name in state.values():
        _require(name, operands, "input")
        if list(state.values()).count(name) > 1:
            raise ModelError(f"input {name!r} would be the state of two outputs")
    symbols = {d for v in graph.inputs for d in v.shape if isinstance(d, str)}
    for out, name in state.items():
        _check(results[out], operands[name], symbols)
    others = [v for v in graph.outputs if v.name not in state]
    following = [results[out] for out in state]
    for i, value in enumerate(graph.outputs):
        if value.name in state and (value.name in keep or not others):
            copy = Value(value.name, value.dtype, value.shape)
            graph.nodes.append(copy_node(value, copy))
            graph.outputs[i] = copy
    graph.outputs = [v for v in graph.outputs if v not in following] + following
    for out, value in zip(state, following):
        if any(v.name == out for v in graph.outputs[:-len(following)]):
            value.name = f"{out}.next"
    graph.inputs = [v for v in graph.inputs if v.name not in state.values()] + [operands[n] for n in state.values()]
    return States(state, {n: defaults.get(n, np.zeros(operands[n].shape, operands[n].dtype)) for n in state.values()})


def _require(name: str, known: Mapping[str, Value], side: str) -> None:
    if name not in known:
        raise ModelError(f"a state needs an {side}, and none is called {name!r}; the model has "
                         f"{', '.join(map(repr, known))}")


def _check(out: Value, value: Value, symbols: set[str]) -> None:
    """Dtype and shape of a state; extents of the output that only a run tells become the input's."""
    out.shape = tuple(d if isinstance(d, int) or d in symbols else None for d in out.shape)
    pair = f"output {out.name!r}, {out.dtype} {_text(out)}, as input {value.name!r}, {value.dtype} {_text(value)}"
    if out.dtype != value.dtype:
        raise ModelError(f"{pair}: a state has one type of elements")
    dims = list(zip(out.shape, value.shape))
    if len(out.shape) != len(value.shape) or any(a != b and None not in (a, b) and not (
            isinstance(a, int) and isinstance(b, str)) for a, b in dims):
        raise ModelError(f"{pair}: a state has one shape for all runs; a cache that grows must become one of fixed "
                         "size (TensorScatter writes into such)")
    if not value.is_static:
        extents = ", ".join(str(b if isinstance(b, int) else a if isinstance(a, int) else 1) for a, b in dims)
        raise ModelError(f"{pair}: the extents of a state must be known: shapes={{{value.name!r}: ({extents})}}")
    out.shape = value.shape


def _text(value: Value) -> str:
    return f"[{','.join('?' if d is None else str(d) for d in value.shape)}]"
