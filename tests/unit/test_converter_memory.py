"""How much memory a conversion takes, and that it is never silent on a terminal; where weights stay until then.

The model's size is WISP_MEMORY_TEST_MB (default 120); `WISP_MEMORY_TEST_MB=500 pytest -s -k peak` prints the figures.
"""
# SPDX-License-Identifier: Apache-2.0
import io
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data
from wisp_converter import ModelError, convert
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.sources.onnx.load import load
from wisp_converter.sources.onnx.weights import Weights, tensors_of, without_weights
from wisp_converter.target import format as fmt
from wisp_converter.target.amend import amend

MEGABYTES = int(os.environ.get("WISP_MEMORY_TEST_MB", 120))
LARGEST = {None: 2.0, "int8": 2.75}
"""Peak memory of the whole command as a multiple of the model's size, without what any conversion takes. Once more the
weights would be too much."""
SILENCE = 2.0  # seconds
KIB, MIB = 1 << 10, 1 << 20


class Layers:
    """A network of about `megabytes` of random weights: three Conv, eight products; in the file or in one beside it."""

    def __init__(self, path: Path, megabytes: float, external: bool = False) -> None:
        self.path, self.rng = path, np.random.default_rng(0)
        self.data = open(f"{path}.data", "wb") if external else None
        self.nodes: list = []
        self.initializers: list = []
        unit = megabytes * MIB / 4 / 11
        self.channels, n = int((unit / 9) ** 0.5) // 16 * 16, int(unit ** 0.5) // 16 * 16
        last = "x"
        for i in range(3):
            last = self.layer(f"conv{i}", "Conv", last, (self.channels, self.channels, 3, 3), 1, pads=[1] * 4)
        last = self.node("pool", "GlobalAveragePool", [last])
        last = self.node("flat", "Flatten", [last])
        k = self.channels
        for i in range(8):
            if i < 6:
                last = self.layer(f"gemm{i}", "Gemm", last, (n, k) if i % 2 else (k, n), i % 2, transB=i % 2)
            else:  # weights that the converter has to compute
                turned = self.node(f"turned{i}", "Transpose", [self.weights(f"w{i}", (n, k), k)], perm=[1, 0])
                last = self.node(f"relu{i}", "Relu", [self.node(f"product{i}", "MatMul", [last, turned])])
            k = n
        image, row = [1, self.channels, 8, 8], [1, n]
        graph = helper.make_graph(self.nodes, "layers", [helper.make_tensor_value_info("x", TensorProto.FLOAT, image)],
                                  [helper.make_tensor_value_info(last, TensorProto.FLOAT, row)], self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path.write_bytes(model.SerializeToString())
        if self.data is not None:
            self.data.close()
        np.savez(f"{path}.npz", x=self.rng.standard_normal(image, dtype=np.float32))
        self.size = sum(p.stat().st_size for p in (path, Path(f"{path}.data")) if p.exists())

    def node(self, name: str, op: str, inputs: list[str], **attributes) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def layer(self, name: str, op: str, x: str, shape: tuple[int, ...], out: int, **attributes) -> str:
        fan, n = (np.prod(shape[1:]), shape[0]) if out else shape
        inputs = [x, self.weights(f"{name}.w", shape, fan), self.weights(f"{name}.b", (n,), 100)]
        return self.node(f"{name}.relu", "Relu", [self.node(name, op, inputs, **attributes)])

    def weights(self, name: str, shape: tuple[int, ...], fan: int) -> str:
        values = self.rng.standard_normal(shape, dtype=np.float32) * np.float32((2 / fan) ** 0.5)
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        if self.data is None:
            tensor.raw_data = values.tobytes()
        else:
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", f"{self.path.name}.data"), ("offset", self.data.tell()),
                               ("length", values.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
            self.data.write(values.tobytes())
        self.initializers.append(tensor)
        return name


# ---- the whole command on a terminal

COMMAND = """
import sys, wisp.cli
status = wisp.cli.main(sys.argv[2:])
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
open(sys.argv[1], "w").write(peak)  # of this process alone; what getrusage says counts its parent in
sys.exit(status)
"""


def convert_on_a_terminal(folder: Path, *arguments: str) -> tuple[int, float, str]:
    """(bytes of memory at the peak, the longest silence in seconds, what was said)."""
    import pty

    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", COMMAND, "peak.txt", "convert", *arguments], cwd=folder,
                               stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    said, silence, late = b"", 0.0, 0.0
    last = before = time.monotonic()
    while True:
        ready = select.select([master], [], [], 0.05)[0]
        now = time.monotonic()
        late = max(late, now - before - 0.05)  # a machine too busy to wake this process may let the other wait as long
        before = now
        if ready:
            try:
                piece = os.read(master, 1 << 16)
            except OSError:  # the other end is closed
                piece = b""
            if not piece:
                break
            said, silence, last = said + piece, max(silence, now - last), now
    silence = max(silence, time.monotonic() - last)
    assert process.wait() == 0, said.decode()
    os.close(master)
    return int((folder / "peak.txt").read_text()) * KIB, silence - late, said.decode()


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """What a conversion takes however small the model is: Python, numpy, onnx, ONNX Runtime."""
    folder = tmp_path_factory.mktemp("fixed")
    Layers(folder / "m.onnx", 0.2)
    return convert_on_a_terminal(folder, "m.onnx")[0]


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read from /proc, which Linux has")
@pytest.mark.parametrize("quantize, external", [(None, False), (None, True), ("int8", False)])
def test_peak_memory_and_silence(tmp_path, fixed, quantize, external):
    model = Layers(tmp_path / "m.onnx", MEGABYTES, external)
    options = ["--quantize", quantize, "--calibrate", "m.onnx.npz"] if quantize else []
    peak, silence, said = convert_on_a_terminal(tmp_path, "m.onnx", *options)
    print(f"\nmodel {model.size / MIB:.0f} MiB{' outside' if external else ''}, {quantize or 'float'}: peak "
          f"{peak / MIB:.0f} MiB, {peak / model.size:.2f} times the model; without the {fixed / MIB:.0f} MiB of any "
          f"conversion {(peak - fixed) / model.size:.2f}; longest silence {silence:.2f} s")
    assert "SNR" in said  # it was verified too
    assert peak - fixed <= LARGEST[quantize] * model.size
    assert silence < SILENCE


# ---- weights that stay in the file


def odd_model() -> onnx.ModelProto:
    """Large tensors wherever ONNX allows them: initializer, Constant, in a branch, in a function, as float_data."""
    rng = np.random.default_rng(1)

    def tensor(name: str) -> TensorProto:
        return numpy_helper.from_array(rng.standard_normal((40, 40), dtype=np.float32), name)

    def branch(name: str, op: str) -> onnx.GraphProto:
        nodes = [helper.make_node("Constant", [], [f"{name}.c"], value=tensor("")),
                 helper.make_node(op, [f"{name}.c", f"{name}.w"], [f"{name}.s"]),
                 helper.make_node("Add", ["m", f"{name}.s"], [name])]
        return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(name, 1, [2, 40])],
                                 [tensor(f"{name}.w")])

    body = [helper.make_node("Constant", [], ["k"], value=tensor("")), helper.make_node("MatMul", ["a", "k"], ["b"])]
    function = helper.make_function("local", "Turn", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    listed = helper.make_tensor("listed", 1, [40, 40], rng.standard_normal(1600).astype(np.float32))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Turn", ["y"], ["t"], domain="local"),
             helper.make_node("MatMul", ["t", "listed"], ["l"]), helper.make_node("MatMul", ["l", "w"], ["m"]),
             helper.make_node("ReduceSum", ["m"], ["sum"], keepdims=0),
             helper.make_node("Greater", ["sum", "zero"], ["c"]),
             helper.make_node("If", ["c"], ["z"], then_branch=branch("p", "MatMul"), else_branch=branch("q", "Mul"))]
    for graph in (nodes[-1].attribute[0].g, nodes[-1].attribute[1].g):  # [40, 40] does not add to [2, 40]: one row
        graph.node.insert(2, helper.make_node("ReduceSum", [graph.node[1].output[0], "axis"], ["row"], keepdims=1))
        graph.node[3].input[1] = "row"
    graph = helper.make_graph(nodes, "odd", [helper.make_tensor_value_info("x", 1, [2, 40])],
                              [helper.make_tensor_value_info("z", 1, [2, 40])],
                              [tensor("w"), listed, numpy_helper.from_array(np.float32(0), "zero"),
                               numpy_helper.from_array(np.array([0]), "axis")])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, functions=[function], opset_imports=imports, ir_version=8)


def in_general_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """Elements that are listed as floats as raw data."""
    for tensor in tensors_of(model):
        if len(tensor.float_data) > 1023 and tensor.data_type == TensorProto.FLOAT:
            tensor.raw_data = np.array(tensor.float_data, "<f4").tobytes()
            del tensor.float_data[:]
    return model


def test_a_model_without_its_weights_and_with_them_again(tmp_path):
    model = odd_model()
    path = tmp_path / "odd.onnx"
    path.write_bytes(model.SerializeToString())
    source = load(path)
    outside = [t for t in tensors_of(source.original) if uses_external_data(t)]
    assert len(outside) == 7 and source.original.ByteSize() < model.ByteSize() - 7 * 6300
    assert source.weights.whole(source.original) == in_general_form(model)


def test_whatever_way_a_model_comes_the_result_is_the_same(tmp_path):
    """All but the hash of the source, which is another file, and what follows from that in the header."""
    inside, outside = Layers(tmp_path / "in.onnx", 0.5), Layers(tmp_path / "out.onnx", 0.5, external=True)
    data = inside.path.read_bytes()
    results = [convert(m, verify=False) for m in (inside.path, data, onnx.load_from_string(data), outside.path)]
    assert results[0] == results[1] and results[0][128:] == results[2][128:] == results[3][128:]
    with pytest.raises(ModelError, match="give the path"):
        convert(outside.path.read_bytes())


@pytest.mark.parametrize("change", ["short", "elsewhere", "missing"])
def test_weights_that_are_not_there(tmp_path, change):
    model = Layers(tmp_path / "m.onnx", 0.5, external=True)
    data = Path(f"{model.path}.data")
    if change == "short":
        data.write_bytes(data.read_bytes()[:-1])
    elif change == "missing":
        data.unlink()
    else:
        (tmp_path / "inner").mkdir()
        model.path.write_bytes(model.path.read_bytes().replace(b"m.onnx.data", b"../onnx.dat"))
        data.rename(tmp_path / "onnx.dat")
        model.path = model.path.rename(tmp_path / "inner" / "m.onnx")
    with pytest.raises(ModelError, match="external weights cannot be read"):
        convert(model.path, verify=False)


def test_bytes_that_are_no_model():
    data = odd_model().SerializeToString()
    for end in range(0, len(data), 997):
        try:
            assert len(without_weights(data[:end], "f")) <= end
        except ValueError:
            pass
    with pytest.raises(ModelError, match="not an ONNX model"):
        convert(data[: len(data) // 2])


def test_damaged_models_are_read_as_protobuf_reads_them():
    good, rng, read = odd_model().SerializeToString(), np.random.default_rng(5), 0
    for _ in range(2000):
        data = bytearray(good)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            data[at if rng.random() < 0.3 else rng.choice([at % 400, -1 - at % 4000])] = rng.integers(0, 256)
        data = bytes(data)
        try:
            expected = in_general_form(onnx.ModelProto.FromString(data))
        except Exception:  # protobuf's DecodeError is no public name
            expected = None
        try:
            got = Weights(data, "f", None).whole(onnx.ModelProto.FromString(without_weights(data, "f")))
        except Exception:
            got = None
        assert got is None or got == expected
        read += got is not None
    assert read > 200


# ---- a file that is changed after it was written


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("before, after", [(10, 20), (10, 9000), (9000, 10), (3000, 3100), (3, 3)])
def test_amended_is_as_if_written_at_once(weights, before, after):
    x, y = (Value(name, np.dtype(np.float32), (3000,)) for name in "xy")
    addend = constant("a", np.arange(3000, dtype=np.float32)) if weights else x
    graph, plan = Graph([x], [y], [Node("Add", [x, addend], [y], {}, "add")]), fmt.Plan(is_static=True, plan_size=64)
    with tempfile.TemporaryFile() as file:
        fmt.write_to(file, graph, plan, metadata=b"m" * before)
        amend(file, metadata=b"n" * after, scratch_size=128)
        file.seek(0)
        amended = file.read()
    plan.scratch_size = 128
    assert amended == fmt.write(graph, plan, metadata=b"n" * after)
    memory = io.BytesIO()
    fmt.write_to(memory, graph, plan, metadata=b"n" * after)
    assert memory.getvalue() == amended
