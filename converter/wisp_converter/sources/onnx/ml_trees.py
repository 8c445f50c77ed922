"""Tree ensembles of ai.onnx.ml, all versions, as one flat table in preorder."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...errors import ModelError
from ...ir import Value
from .emit import Emit
from .ml import ML, classify, finish_scores, rows_of
from .registry import importer

NAN_HOLDS, EQUAL, UNEQUAL, LEAF = 1, 2, 4, 1 << 31  # of trees.c
AGGREGATES = {"SUM": 0, "AVERAGE": 1, "MIN": 2, "MAX": 3}
COMPARISONS = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
EXCHANGED = {"BRANCH_GTE", "BRANCH_GT"}  # tested the other way round: < and <=
FLAGS = {"BRANCH_EQ": EQUAL, "BRANCH_NEQ": UNEQUAL}


@dataclass
class Forest:
    """Node tables as ONNX has them: an entry a node. `yes`, `no`: indices of children; of a leaf the first of its
    weights, and how many. `members`: the sets of BRANCH_MEMBER by node."""

    feature: np.ndarray
    mode: np.ndarray  # index into COMPARISONS, -1 a leaf
    threshold: np.ndarray
    yes: np.ndarray
    no: np.ndarray
    missing: np.ndarray  # whether NaN takes the way of a condition that holds
    roots: np.ndarray
    weights: np.ndarray
    targets: np.ndarray
    members: dict[int, np.ndarray] = field(default_factory=dict)


def emit_forest(emit: Emit, forest: Forest, targets: int, aggregate: str, base: np.ndarray) -> Value:
    """The scores (rows, targets)."""
    if aggregate not in AGGREGATES:
        raise emit.unsupported(f"aggregate_function {aggregate!r}")
    x = rows_of(emit, emit.inputs[0])
    if x.dtype not in (np.float32, np.float64):
        x = emit.add("Cast", [x], shape=x.shape, dtype=np.float32)
    leaves = forest.mode < 0
    direct = targets == 1 and bool((forest.no[leaves] == 1).all())
    nodes, roots = _flatten(forest, x.dtype, direct)
    features = int(forest.feature[~leaves].max(initial=0)) + 1
    tables = [emit.constant(nodes, "nodes"), emit.constant(roots, "roots"),
              *([None, None] if direct else [emit.constant(forest.weights.astype(np.float32), "weights"),
                                             emit.constant(forest.targets.astype(np.int32), "targets")]),
              emit.constant(np.asarray(base, np.float32), "base")]
    how = nodes[:, -1]
    return emit.add("TreeEnsemble", [x, *tables], shape=(x.shape[0], targets), dtype=np.float32, targets=targets,
                    aggregate=AGGREGATES[aggregate], features=features,
                    flags=int(np.bitwise_or.reduce(how[how >= 0], initial=0)) & (NAN_HOLDS | EQUAL | UNEQUAL))


def _flatten(forest: Forest, dtype: np.dtype, direct: bool) -> tuple[np.ndarray, np.ndarray]:
    """(nodes, roots) of trees.c. Every comparison becomes <=, == or !=: a greater one has its children exchanged, a
    strict one its threshold moved by one number of `dtype`."""
    words = 3 if dtype == np.float32 else 4
    rows: list[list] = []  # threshold, other, how
    roots, feature, mode = [], forest.feature.tolist(), forest.mode.tolist()
    thresholds, yes, no = _thresholds(forest, dtype), forest.yes.tolist(), forest.no.tolist()
    missing, seen = forest.missing.tolist(), np.zeros(len(mode), bool)
    for root in forest.roots.tolist():
        roots.append(len(rows))
        todo = [(root, range(0))]  # a node, and the rows whose other child it is
        while todo:
            at, waiting = todo.pop()
            for row in waiting:
                rows[row][1] = len(rows)
            if not 0 <= at < len(mode) or seen[at]:
                raise ModelError("its nodes are no trees")
            if mode[at] < 0:
                rows.append([yes[at], no[at], LEAF])
                continue
            seen[at] = True
            start, place = len(rows), feature[at] * 8
            if COMPARISONS[mode[at]] == "BRANCH_MEMBER":  # as long as it is none of them, go on to the other child
                if missing[at]:
                    rows.append([np.inf, 0, place])
                rows += [[value, 0, place + UNEQUAL] for value in forest.members[at]]
                after, other = no[at], yes[at]
            else:
                exchanged = COMPARISONS[mode[at]] in EXCHANGED
                flags = FLAGS.get(COMPARISONS[mode[at]], 0) + (NAN_HOLDS if missing[at] != exchanged else 0)
                rows.append([thresholds[at], 0, place + flags])
                after, other = (no[at], yes[at]) if exchanged else (yes[at], no[at])
            todo += [(other, range(start, len(rows))), (after, range(0))]
    if not rows:
        raise ModelError("its nodes are no trees")
    table = np.zeros((len(rows), words), np.uint32)
    split, leaf = np.array([r[0] for r in rows], np.float64), np.array([r[2] for r in rows], np.uint64) & LEAF != 0
    table[:, :words - 2] = split.astype(dtype).view(np.uint32).reshape(len(rows), -1)
    first = split[leaf].astype(np.int64)
    table[leaf, :words - 2] = 0
    table[leaf, 0] = forest.weights.astype(np.float32)[first].view(np.uint32) if direct else first
    table[:, -2], table[:, -1] = [r[1] for r in rows], [r[2] for r in rows]
    return table.view(np.int32), np.array(roots, np.int32)


def _thresholds(forest: Forest, dtype: np.dtype) -> list[float]:
    """What x, a number of `dtype`, is compared with so that the outcome is that of the threshold itself."""
    wanted = forest.threshold.astype(np.float64)
    with np.errstate(over="ignore"):
        nearest = wanted.astype(dtype)
    below = np.nextafter(nearest, dtype.type(-np.inf))
    most = np.where(nearest > wanted, below, nearest)  # the largest number that is at most the threshold
    less = np.where(most == wanted, np.where(most == -np.inf, np.nan, np.nextafter(most, dtype.type(-np.inf))), most)
    modes = np.array([*COMPARISONS, "LEAF"])[forest.mode]
    strict, equal = np.isin(modes, ["BRANCH_LT", "BRANCH_GTE"]), np.isin(modes, ["BRANCH_EQ", "BRANCH_NEQ"])
    return np.where(equal, np.where(nearest == wanted, nearest, np.nan), np.where(strict, less, most)).tolist()


# ---- the operators


@importer("TreeEnsemble", domain=ML)
def TreeEnsemble(emit: Emit, *, tree_roots, nodes_modes, nodes_featureids, nodes_splits, nodes_truenodeids,
                 nodes_falsenodeids, nodes_trueleafs, nodes_falseleafs, leaf_weights, leaf_targetids,
                 n_targets: int = 1, aggregate_function: int = 1, post_transform: int = 0,
                 nodes_missing_value_tracks_true=None, nodes_hitrates=None, membership_values=None) -> None:
    """Leaves have tables of their own here: they become nodes behind the others."""
    modes, count, leaves = np.asarray(nodes_modes, np.int64), len(nodes_modes), len(leaf_weights)

    def children(ids, are_leaves) -> np.ndarray:
        return np.concatenate([np.asarray(ids) + count * np.asarray(are_leaves, bool), np.arange(leaves)])

    none = np.zeros(leaves, np.int64)
    yes, no = children(nodes_truenodeids, nodes_trueleafs), children(nodes_falsenodeids, nodes_falseleafs)
    yes[count:], no[count:] = np.arange(leaves), 1
    missing = np.zeros(count) if nodes_missing_value_tracks_true is None else nodes_missing_value_tracks_true
    sets = np.split(np.asarray([] if membership_values is None else membership_values, np.float64),
                    np.flatnonzero(np.isnan([] if membership_values is None else membership_values)) + 1)
    where = np.flatnonzero(modes == COMPARISONS.index("BRANCH_MEMBER"))
    forest = Forest(np.concatenate([nodes_featureids, none]), np.concatenate([modes, none - 1]),
                    np.concatenate([nodes_splits, none]), yes, no, np.concatenate([missing, none]).astype(bool),
                    np.asarray(tree_roots), np.asarray(leaf_weights), np.asarray(leaf_targetids),
                    {int(at): s[~np.isnan(s)].tolist() for at, s in zip(where, sets)})
    aggregate = ("AVERAGE", "SUM", "MIN", "MAX")[aggregate_function]
    scores = emit_forest(emit, forest, n_targets, aggregate, np.zeros(n_targets))
    finish_scores(emit, scores, ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")[post_transform], emit.out)


def _forest(nodes: dict, leaf_trees, leaf_nodes, targets, weights) -> Forest:
    """The tables of the older operators, in which children are called by the ids of their tree."""
    keys = np.asarray(nodes["treeids"], np.int64) << 32 | np.asarray(nodes["nodeids"], np.int64)
    order = np.argsort(keys, kind="stable")

    def find(trees, ids) -> np.ndarray:
        wanted = np.asarray(trees, np.int64) << 32 | np.asarray(ids, np.int64)
        at = order[np.clip(np.searchsorted(keys[order], wanted), 0, len(keys) - 1)]
        return np.where(keys[at] == wanted, at, -1)

    modes = np.array([COMPARISONS.index(m) if m in COMPARISONS else -1 for m in nodes["modes"]])
    yes, no = find(nodes["treeids"], nodes["truenodeids"]), find(nodes["treeids"], nodes["falsenodeids"])
    owner = find(leaf_trees, leaf_nodes)
    by_owner = np.argsort(owner, kind="stable")
    leaves = np.flatnonzero(modes < 0)
    yes[leaves] = np.searchsorted(owner[by_owner], leaves, "left")
    no[leaves] = np.searchsorted(owner[by_owner], leaves, "right") - yes[leaves]
    _, first = np.unique(nodes["treeids"], return_index=True)
    is_child = np.zeros(len(modes) + 1, bool)
    is_child[yes[modes >= 0]] = is_child[no[modes >= 0]] = True
    roots = np.array([r for r in np.flatnonzero(~is_child[:-1]) if modes[r] >= 0 or r in set(first.tolist())])
    missing = nodes["missing_value_tracks_true"]
    return Forest(np.asarray(nodes["featureids"]), modes, np.asarray(nodes["values"], np.float64), yes, no,
                  np.zeros(len(modes), bool) if missing is None else np.asarray(missing, bool), np.sort(roots),
                  np.asarray(weights)[by_owner], np.asarray(targets)[by_owner])


NODES = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids",
         "missing_value_tracks_true", "hitrates")


def _nodes(attributes: dict) -> dict:
    """The attributes nodes_*; numbers come as floats, or as a tensor of doubles."""
    nodes = {name: attributes.pop(f"nodes_{name}", None) for name in NODES}
    values, _ = attributes.pop("nodes_values_as_tensor", None), attributes.pop("nodes_hitrates_as_tensor", None)
    return {**nodes, "values": nodes["values"] if values is None else values}


def _either(attributes: dict, name: str, otherwise=()):
    given, tensor = attributes.pop(name, otherwise), attributes.pop(f"{name}_as_tensor", None)
    return np.asarray(given if tensor is None else tensor, np.float64)


@importer("TreeEnsembleRegressor", domain=ML)
def TreeEnsembleRegressor(emit: Emit, *, n_targets: int = 1, aggregate_function: str = "SUM",
                          post_transform: str = "NONE", target_treeids, target_nodeids, target_ids,
                          **attributes) -> None:
    nodes, weights = _nodes(attributes), _either(attributes, "target_weights")
    base = _either(attributes, "base_values")
    forest = _forest(nodes, target_treeids, target_nodeids, target_ids, weights)
    scores = emit_forest(emit, forest, n_targets, aggregate_function, base if base.size else np.zeros(n_targets))
    finish_scores(emit, scores, post_transform, emit.out)


@importer("TreeEnsembleClassifier", domain=ML)
def TreeEnsembleClassifier(emit: Emit, *, post_transform: str = "NONE", classlabels_int64s=None,
                           classlabels_strings=None, class_treeids, class_nodeids, class_ids, **attributes) -> None:
    nodes, weights = _nodes(attributes), _either(attributes, "class_weights")
    base, labels = _either(attributes, "base_values"), classlabels_strings or classlabels_int64s
    binary = len(labels) == 2 and len(set(class_ids)) == 1
    targets = 1 if binary else len(labels)
    forest = _forest(nodes, class_treeids, class_nodeids, [0] * len(class_ids) if binary else class_ids, weights)
    offset = base[-1:] if binary and base.size else base if base.size == targets else np.zeros(targets)
    scores = emit_forest(emit, forest, targets, "SUM", offset)
    classify(emit, scores, labels, post_transform, binary and bool((weights >= 0).all()), binary and class_ids[0] == 1)
