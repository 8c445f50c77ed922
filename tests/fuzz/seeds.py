"""Writes the files that fuzzing starts from: ONNX's node tests (float, int8, open extents) and graphs inside graphs.

usage: seeds.py FOLDER      Every operator of ops.def must occur in some file, or the status is 1.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import itertools
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

MOST = 16384  # bytes of a seed; small ones are run more often
ALIKE = 2  # seeds kept of those that have the same operators, parameters and dtypes
F32, S64, BOOL = np.dtype("float32"), np.dtype("int64"), np.dtype("bool")


# ---- from ONNX's node tests


def node_tests() -> list[Path]:
    import onnx.backend.test

    data = Path(onnx.backend.test.__file__).parent / "data" / "node"
    return sorted(path for path in data.glob("test_*") if (path / "model.onnx").exists())


def open_extents(model) -> None:
    """The first axis of each input becomes symbolic, and no output states a shape."""
    for i, value in enumerate(model.graph.input):
        dims = value.type.tensor_type.shape.dim
        if dims:
            dims[0].dim_param = f"n{i}"
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            dim.Clear()


def inputs_of(folder: Path, model) -> dict[str, np.ndarray]:
    import onnx
    from onnx import numpy_helper

    arrays = {}
    for i, value in enumerate(model.graph.input):
        tensor = onnx.TensorProto()
        tensor.ParseFromString((folder / "test_data_set_0" / f"input_{i}.pb").read_bytes())
        arrays[value.name] = numpy_helper.to_array(tensor)
    return arrays


def fix_inputs(model, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All inputs but the first become constants, as weights are. Returns the inputs that are left."""
    from onnx import numpy_helper

    first = model.graph.input[0].name
    model.graph.initializer.extend(numpy_helper.from_array(data, name)
                                   for name, data in inputs.items() if name != first)
    del model.graph.input[1:]
    return {first: inputs[first]}


def convert_test(folder: Path) -> list[bytes]:
    """What the converter makes of one test; it refuses many of these forms, which is no failure here."""
    import onnx
    from wisp_converter import ConvertError, UnsupportedError, convert

    files = []
    for form, fixed in itertools.product(("float", "open", "int8"), (False, True)):
        model = onnx.load(folder / "model.onnx")
        if fixed and len(model.graph.input) < 2:
            continue
        options = {}
        try:
            if fixed or form == "int8":
                inputs = inputs_of(folder, model)
                inputs = fix_inputs(model, inputs) if fixed else inputs
            if form == "open":
                open_extents(model)
            if form == "int8":
                options = {"quantize": "int8", "calibration": [inputs]}
            files.append(convert(model, verify=False, **options))
        except (ConvertError, UnsupportedError, TypeError, ValueError, FileNotFoundError):
            continue
    return [data for data in dict.fromkeys(files) if len(data) <= MOST]


# ---- graphs inside graphs, and states


def written(inputs, outputs, nodes, states=()) -> bytes:
    from wisp_converter.target import format as fmt
    from wisp_converter.ir import Graph

    plan = fmt.Plan(states=list(states))
    for state in plan.states:
        plan.state_offsets[state.tensor] = plan.state_size
        plan.state_size = fmt.round_up(plan.state_size + fmt.tensor_size(state.tensor), 64)
    return fmt.write(Graph(list(inputs), list(outputs), list(nodes)), plan)


def value(name: str, dtype=F32, shape=(2,)):
    from wisp_converter.ir import Value

    return Value(name, dtype, shape)


def branches() -> bytes:
    """If, whose branches give results of different extents."""
    from wisp_converter.ir import Graph, Node, constant

    c, x, y = value("c", BOOL, ()), value("x"), value("y", shape=(None,))
    a, b = value("a"), value("b", shape=(None,))
    then = Graph([], [a], [Node("Relu", [x], [a])])
    other = Graph([], [b], [Node("Concat", [x, constant("k", np.ones(3, F32))], [b])])
    return written([c, x], [y], [Node("If", [c], [y], {"then_branch": then, "else_branch": other})])


def loop() -> bytes:
    """Loop with two carried values that change places, one that grows, and a scan; inside it an If."""
    from wisp_converter.ir import Graph, Node, constant

    i, go, stay = value("i", S64, ()), value("go", BOOL, ()), value("stay", BOOL, ())
    p, q, p1, q1, scan = (value(name, F32, (2,)) for name in ("p", "q", "p1", "q1", "scan"))
    grown, longer = value("g", F32, (None,)), value("g1", F32, (None,))
    t, e = value("t"), value("e")
    choose = {"then_branch": Graph([], [t], [Node("Neg", [p], [t])]),
              "else_branch": Graph([], [e], [Node("Add", [p, q], [e])])}
    body = Graph([i, go, p, q, grown], [stay, p1, q1, longer, scan], [
        Node("Identity", [go], [stay]), Node("Identity", [q], [p1]), Node("If", [go], [q1], choose),
        Node("Concat", [grown, p], [longer]), Node("Mul", [p, q], [scan])])
    n, x, z = value("n", S64, ()), value("x"), value("z")
    ends = [value("y0"), value("y1"), value("y2", shape=(None,)), value("y3", shape=(None, 2))]
    start = constant("start", np.zeros(1, F32))
    return written([n, x, z], ends, [Node("Loop", [n, None, x, z, start], ends, {"body": body})])


def state() -> bytes:
    """A sum over runs."""
    from wisp_converter.target import format as fmt
    from wisp_converter.ir import Node, constant

    x, total, y = value("x"), value("s"), value("y")
    return written([x], [y], [Node("Add", [x, total], [y])], [fmt.State(total, y, constant("s0", np.full(2, 3, F32)))])


def counted(dtype) -> bytes:
    """Range of constants, which a converter would have computed."""
    from wisp_converter.ir import Node, constant

    x, r, y = value("x", dtype, (3,)), value("r", dtype, (None,)), value("y", dtype, (None,))
    bounds = [constant(n, np.array(v, dtype)) for n, v in (("start", 1), ("limit", 7), ("delta", 2))]
    return written([x], [y], [Node("Range", bounds, [r]), Node("Add", [x, r], [y])])


def regions() -> bytes:
    """MaxRoiPool, of which ONNX has no node test."""
    from wisp_converter.ir import Node

    x, r, y = value("x", F32, (1, 4, 4, 2)), value("r", F32, (2, 5)), value("y", F32, (2, 2, 2, 2))
    attrs = {"output_height": 2, "output_width": 2, "spatial_scale": 1.0}
    return written([x, r], [y], [Node("MaxRoiPool", [x, r], [y], attrs)])


def noise() -> bytes:
    """RandomNormal, of which ONNX has no node test."""
    from wisp_converter.ir import Node

    shape, y = value("shape", np.dtype(np.int64), (2,)), value("y", F32, (None, None))
    return written([shape], [y], [Node("RandomNormal", [shape], [y], dict(mean=1.0, scale=2.0, seed=7))])


def couples() -> bytes:
    """CouplePairs, which support vector machines with probabilities are made of."""
    from wisp_converter.ir import Node

    x, y = value("x", F32, (2, 3)), value("y", F32, (2, 3))
    return written([x], [y], [Node("CouplePairs", [x], [y], {"classes": 3})])


# ---- the corpus


def signature(data: bytes) -> tuple[frozenset[str], frozenset[bytes], frozenset[str], int, bool]:
    """Operators, their parameters, dtypes, graphs, and whether there is a plan."""
    from wisp.file import read
    from wisp_converter.opcodes import opcodes

    names = {op.code: name for name, op in opcodes().items()}
    file = read(data)
    operators = [op for graph in file.graphs for op in graph.operators]
    return (frozenset(names[op.code] for op in operators), frozenset(op.parameters for op in operators),
            frozenset(t.dtype for t in file.tensors), len(file.graphs), file.is_static)


def main(folder: Path) -> int:
    from wisp_converter.opcodes import opcodes

    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    files = [branches(), loop(), state(), counted(F32), counted(S64), regions(), noise(), couples()]
    with ProcessPoolExecutor(2) as workers:
        for made in workers.map(convert_test, node_tests(), chunksize=16):
            files += made
    seen, found = {}, set()
    for data in sorted(files, key=len):
        key = signature(data)
        found |= key[0]
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= ALIKE:
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    missing = sorted(set(opcodes()) - found)
    print(f"{len(list(folder.iterdir()))} seeds, {len(found)} operators")
    if missing:
        print("no seed has", ", ".join(missing))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
