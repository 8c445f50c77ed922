"""The passes, in order. Each is one function on a Graph in a module named after it; the graph is verified after each.

A pass sees one graph. Of the bodies its nodes own it knows what they capture: it keeps that, or renames it in them too.
It is run on every body by itself, where a captured value is like an input: some value, computed elsewhere.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

from ..ir import Graph, all_graphs
from ..verify_graph import verify_graph
from .cancel_transposes import cancel_transposes
from .copy_shape_outputs import copy_shape_outputs
from .fold_batch_norm import fold_batch_norm
from .fold_constants import fold_constants
from .fuse_activation import fuse_activation
from .fuse_pad import fuse_pad
from .fuse_primitives import fuse_primitives
from .fuse_tables import fuse_tables
from .merge_common import merge_common
from .remove_copies import remove_copies
from .remove_dead import remove_dead
from .settle_shapes import settle_shapes
from .use_gemm import use_gemm

PASSES: tuple[Callable[[Graph], None], ...] = (
    remove_dead,
    fold_constants,
    settle_shapes,
    remove_copies,
    merge_common,
    cancel_transposes,
    remove_copies,
    fuse_primitives,
    use_gemm,
    fold_constants,
    fuse_pad,
    fold_batch_norm,
    fuse_activation,
    merge_common,
    remove_dead,
    copy_shape_outputs,
)

BORDER_PASSES = (cancel_transposes, remove_copies, fuse_tables, remove_copies, merge_common, remove_dead)
"""After the borders of a graph were rewritten, see borders.py."""


def run_passes(graph: Graph, passes: tuple[Callable[[Graph], None], ...] = PASSES) -> None:
    """Run the passes on the graph and all inside it, in place, verifying them after each one."""
    verify_graph(graph)
    for function in passes:
        for one in reversed(all_graphs(graph)):  # bodies first: what they no longer read may be dropped around them
            function(one)
        verify_graph(graph, function.__name__)
