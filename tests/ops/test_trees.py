"""Tree ensembles of ai.onnx.ml against ONNX Runtime, and against walks written in Python."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import onnx
import pytest
import wisp
from onnx import helper, numpy_helper
from support import check_close, onnxruntime_outputs
from wisp_converter import ModelError, convert
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.target import format as fmt
from wisp_converter.target.plan import plan_memory

rng = np.random.default_rng(5)
ML = "ai.onnx.ml"
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


def forest(trees, depth, features, targets, modes, prefix, missing=False):
    """Random attributes; values are few small integers, so that equality and limits are met."""
    nodes = {k: [] for k in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids",
                             "missing_value_tracks_true")}
    leaves = {k: [] for k in ("treeids", "nodeids", "ids", "weights")}

    def grow(tree, level) -> int:
        at = len([t for t in nodes["treeids"] if t == tree])
        row = len(nodes["treeids"])
        leaf = level == depth or (level > 1 and rng.random() < 0.2)
        for name, value in (("treeids", tree), ("nodeids", at), ("featureids", int(rng.integers(features))),
                            ("modes", "LEAF" if leaf else str(rng.choice(modes))), ("truenodeids", 0),
                            ("falsenodeids", 0), ("values", float(rng.integers(-2, 3))),
                            ("missing_value_tracks_true", int(missing and rng.random() < 0.5))):
            nodes[name].append(value)
        if leaf:
            for target in rng.permutation(targets)[:rng.integers(1, targets + 1)]:
                for name, value in (("treeids", tree), ("nodeids", at), ("ids", int(target)),
                                    ("weights", float(np.float32(rng.standard_normal())))):
                    leaves[name].append(value)
        else:
            nodes["truenodeids"][row] = grow(tree, level + 1)
            nodes["falsenodeids"][row] = grow(tree, level + 1)
        return at

    for tree in range(trees):
        grow(tree, 0)
    return {**{f"nodes_{k}": v for k, v in nodes.items()}, **{f"{prefix}_{k}": v for k, v in leaves.items()}}


def model_of(op, attributes, x, outputs, version=3):
    node = helper.make_node(op, ["x"], list(outputs), "forest", domain=ML, **attributes)
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", kind, ["rows", x.shape[1]])],
                              [helper.make_tensor_value_info(n, t, None) for n, t in outputs.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(ML, version)],
                             ir_version=8)


def check(model, x, rtol=1e-5, threads=1):
    want = onnxruntime_outputs(model, {"x": x})
    assert want is not None, "ONNX Runtime refuses the model"
    got = wisp.load(convert(model, verify=False), threads=threads).run({"x": x})
    for name, expected in want.items():
        check_close(got[name], expected, name, rtol=rtol, atol=1e-6)


def rows(count, features, missing=False, dtype=np.float32):
    x = rng.integers(-3, 4, (count, features)).astype(dtype)
    if missing:
        x[rng.random(x.shape) < 0.2] = np.nan
    return x


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("modes", [*([m] for m in MODES), MODES], ids=lambda m: m[0] if len(m) == 1 else "mixed")
def test_every_comparison(modes, missing):
    x = rows(200, 5, missing)
    attributes = forest(13, 5, 5, 1, modes, "target", missing)
    check(model_of("TreeEnsembleRegressor", dict(n_targets=1, **attributes), x, {"y": onnx.TensorProto.FLOAT}), x)


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize("targets", [1, 3])
def test_aggregates_and_base_values(aggregate, targets):
    x = rows(60, 4)
    attributes = forest(9, 4, 4, targets, MODES, "target")
    for base in ({}, {"base_values": [float(v) for v in range(1, targets + 1)]}):
        options = dict(n_targets=targets, aggregate_function=aggregate, **base, **attributes)
        check(model_of("TreeEnsembleRegressor", options, x, {"y": onnx.TensorProto.FLOAT}), x)


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_classifier(transform, classes):
    x = rows(80, 6)
    options = dict(classlabels_int64s=[10 * i + 7 for i in range(classes)], post_transform=transform)
    attributes = forest(8, 4, 6, classes, ["BRANCH_LEQ"], "class")
    outputs = {"label": onnx.TensorProto.INT64, "scores": onnx.TensorProto.FLOAT}
    model = model_of("TreeEnsembleClassifier", {**options, **attributes}, x, outputs)
    if classes > 2:
        return check(model, x)
    # ONNX Runtime's label of two classes with a score each is whether the second score is above 0
    want, got = onnxruntime_outputs(model, {"x": x})["scores"], wisp.load(convert(model, verify=False)).run({"x": x})
    check_close(got["scores"], want, "scores", rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(got["label"], np.array(options["classlabels_int64s"])[want.argmax(1)])


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize(("which", "base"), [(0, []), (0, [0.25]), (1, [])])  # (1, [b]): ONNX Runtime forgets b
def test_classifier_of_two_classes_by_one_score(positive, which, base):
    x = rows(80, 6)
    attributes = forest(8, 4, 6, 1, ["BRANCH_LT"], "class")
    attributes["class_ids"] = [which] * len(attributes["class_ids"])
    if positive:
        attributes["class_weights"] = [abs(w) / 8 for w in attributes["class_weights"]]
    for transform in ("NONE",) if positive else ("NONE", "LOGISTIC"):
        options = dict(classlabels_int64s=[3, 8], post_transform=transform, **({"base_values": base} if base else {}))
        outputs = {"label": onnx.TensorProto.INT64, "scores": onnx.TensorProto.FLOAT}
        check(model_of("TreeEnsembleClassifier", {**options, **attributes}, x, outputs), x)


def test_labels_that_are_strings_are_in_the_metadata():
    x = rows(20, 4)
    attributes = forest(5, 3, 4, 3, ["BRANCH_LEQ"], "class")
    names = ["setosa", "versicolor", "virginica"]
    model = model_of("TreeEnsembleClassifier", {"classlabels_strings": names, **attributes}, x,
                     {"label": onnx.TensorProto.STRING, "scores": onnx.TensorProto.FLOAT})
    want = onnxruntime_outputs(model, {"x": x})
    loaded = wisp.load(convert(model))
    got = loaded.run({"x": x})
    assert loaded.metadata["labels"] == names
    assert [names[i] for i in got["label"]] == list(want["label"])
    check_close(got["scores"], want["scores"], "scores", rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_thresholds_between_two_numbers(dtype):
    """Doubles that float32 does not have, met by the float32 just below, above, or at them: compared exactly."""
    near = [0.1, 1 / 3, -0.7, 1e-40, 2.0, 1e30]
    x = np.array([v for t in near for v in (np.float32(t), np.nextafter(np.float32(t), np.float32(9e37)),
                                            np.nextafter(np.float32(t), np.float32(-9e37)))], dtype)[:, None]
    for mode in MODES:
        for threshold in near:
            attributes = dict(
                nodes_treeids=[0] * 3, nodes_nodeids=[0, 1, 2], nodes_featureids=[0] * 3,
                nodes_modes=[mode, "LEAF", "LEAF"],
                nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0], target_treeids=[0, 0], target_nodeids=[1, 2],
                target_ids=[0, 0], n_targets=1,
                nodes_values_as_tensor=numpy_helper.from_array(np.array([threshold, 0, 0])),
                target_weights_as_tensor=numpy_helper.from_array(np.array([1.0, 2.0])))
            model = model_of("TreeEnsembleRegressor", attributes, x, {"y": onnx.TensorProto.FLOAT})
            got = wisp.load(convert(model, verify=False)).run({"x": x})["y"].ravel()
            exact = x.astype(np.float64)
            holds = {"BRANCH_LEQ": exact <= threshold, "BRANCH_LT": exact < threshold,
                     "BRANCH_GTE": exact >= threshold, "BRANCH_GT": exact > threshold,
                     "BRANCH_EQ": exact == threshold, "BRANCH_NEQ": exact != threshold}[mode]
            np.testing.assert_array_equal(got, np.where(holds.astype(np.float64).ravel() > 0, 1, 2))


def test_many_rows_on_several_threads():
    x = rows(3000, 20)
    attributes = forest(30, 6, 20, 2, ["BRANCH_LEQ"], "target")
    model = model_of("TreeEnsembleRegressor", dict(n_targets=2, **attributes), x, {"y": onnx.TensorProto.FLOAT})
    data = convert(model, verify=False)
    one = wisp.load(data).run({"x": x})["y"]
    assert np.array_equal(one, wisp.load(data, threads=3).run({"x": x})["y"])
    check(model, x, threads=2)


def test_nodes_that_are_no_trees_are_refused():
    attributes = forest(1, 2, 3, 1, ["BRANCH_LEQ"], "target")
    at = attributes["nodes_modes"].index("BRANCH_LEQ", 1)
    attributes["nodes_truenodeids"][at] = 0  # back to the root
    model = model_of("TreeEnsembleRegressor", dict(n_targets=1, **attributes), rows(1, 3),
                     {"y": onnx.TensorProto.FLOAT})
    with pytest.raises(ModelError, match="its nodes are no trees"):
        convert(model, verify=False)


def test_sets_of_members():
    """TreeEnsemble of version 5: x0 in {1, 3, NaN-free}, else x1 in {2}; compared with what is written here."""
    modes = np.uint8([6, 6])
    for missing in ([0, 0], [1, 0], [0, 1]):
        node = helper.make_node(
            "TreeEnsemble", ["x"], ["y"], domain=ML, n_targets=1, tree_roots=[0], nodes_featureids=[0, 1],
            nodes_modes=numpy_helper.from_array(modes), nodes_splits=numpy_helper.from_array(np.zeros(2, np.float32)),
            nodes_truenodeids=[0, 1], nodes_trueleafs=[1, 1], nodes_falsenodeids=[1, 2], nodes_falseleafs=[0, 1],
            nodes_missing_value_tracks_true=missing,
            membership_values=numpy_helper.from_array(np.float32([1, 3, np.nan, 2, np.nan])),
            leaf_targetids=[0, 0, 0], leaf_weights=numpy_helper.from_array(np.float32([10, 20, 30])))
        graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", 1, ["n", 2])],
                                  [helper.make_tensor_value_info("y", 1, ["n", 1])])
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17),
                                                                      helper.make_opsetid(ML, 5)])
        x = np.float32([[1, 0], [3, 2], [2, 2], [2, 5], [np.nan, 2], [np.nan, 5], [0, np.nan]])
        first = np.isin(x[:, 0], [1, 3]) | (np.isnan(x[:, 0]) & bool(missing[0]))
        second = (x[:, 1] == 2) | (np.isnan(x[:, 1]) & bool(missing[1]))
        want = np.where(first, 10, np.where(second, 20, 30))[:, None]
        np.testing.assert_array_equal(wisp.load(convert(model, verify=False)).run({"x": x})["y"], want)


@pytest.mark.parametrize("left_out", ["y", "x", "nodes", "roots"])
def test_a_file_whose_node_lacks_an_operand_is_refused(left_out):
    x, y, z = (Value(n, np.dtype(np.float32), (1, 1)) for n in "xyz")
    leaf = np.array([[0, 0, -(1 << 31)]], np.int64).astype(np.int32)
    tables = {"nodes": constant("nodes", leaf), "roots": constant("roots", np.int32([0]))}
    operands = [None if n == left_out else v for n, v in [("x", x), *tables.items()]]
    node = Node("TreeEnsemble", [*operands, None, None, constant("base", np.float32([0]))],
                [None if left_out == "y" else y], {"targets": 1, "features": 1}, "forest")
    graph = Graph([x], [z], [node, Node("Relu", [x], [z], {}, "relu")])
    with pytest.raises(wisp.BadFileError, match="'forest'"):
        wisp.load(fmt.write(graph, plan_memory(graph)))
