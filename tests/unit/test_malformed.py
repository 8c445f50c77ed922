"""Hostile files: truncated anywhere, bits flipped, with and without repaired checksums, made to contradict themselves on
purpose. A clear error or a run, never a crash.

Each batch runs in a process of its own that notes the mutation at hand, so a crash is reported with its cause. .ci/run
repeats this with the address and undefined-behaviour sanitizers.
"""
# SPDX-License-Identifier: Apache-2.0
import mmap
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import wisp
from wisp import file as reader
from wisp_converter import format as fmt
from wisp_converter.format import State
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.opcodes import opcodes
from wisp_converter.plan import plan_memory

FLIPS = 4_000  # for each of four files and three mutations: 48,000 in all
SECONDS = 280
MEMORY = 1 << 24  # bytes; a mutation that asks for more is answered with "no memory"
HEADER, SECTION = 128, 48
KINDS = ["float", "int8", "dynamic", "graphs"]
EXTREMES = (0, 1, 2, 7, 8, 9, 63, 64, 255, 256, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


# ---- mutations: each is a function of the file and a number


def truncate(data: bytes, i: int) -> bytes:
    return data[:i]


def flip(data: bytes, seed: int) -> bytes:
    """One bit, anywhere."""
    place, bit = divmod(int(np.random.default_rng(seed).integers(8 * len(data))), 8)
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


def flip_repaired(data: bytes, seed: int) -> bytes:
    """One to three bits, mostly outside the weights, checksums made right again."""
    rng = np.random.default_rng(seed)
    end = structures_end(data) if rng.random() < 0.9 else len(data)
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        changed[int(rng.integers(end))] ^= 1 << int(rng.integers(8))
    return repair(changed)


def extreme_repaired(data: bytes, seed: int) -> bytes:
    """A 32-bit word of the structures replaced by a value at some boundary, checksums made right again."""
    rng = np.random.default_rng(seed)
    end = structures_end(data)
    changed = bytearray(data)
    struct.pack_into("<I", changed, 4 * int(rng.integers(end // 4)), EXTREMES[int(rng.integers(len(EXTREMES)))])
    return repair(changed)


def structures_end(data: bytes) -> int:
    """Where the weights begin, which stand last."""
    return section_table(data)[-1][1]


def section_table(data: bytes) -> list[tuple[int, int, int]]:
    """(id, offset, size) of every section the file's head says it has and has room for."""
    count = min(struct.unpack_from("<I", data, 8)[0], (len(data) - HEADER) // SECTION)
    return [struct.unpack_from("<I4xQQ", data, HEADER + i * SECTION) for i in range(count)]


def repair(data: bytearray) -> bytes:
    """Make the checksums of all sections and of the header right, where sections still lie inside the file."""
    table = section_table(data)
    for i, (_, offset, size) in enumerate(table):
        if offset + size <= len(data):
            struct.pack_into("<QQ", data, HEADER + i * SECTION + 24, *reader.checksum(data[offset : offset + size + -size % 4]))
    struct.pack_into("<QQ", data, 112, 0, 0)
    struct.pack_into("<QQ", data, 112, *reader.checksum(data[: HEADER + len(table) * SECTION]))
    return bytes(data)


# ---- the process that is attacked


def attack(path: str, mutation: str, begin: int, end: int, note: str) -> None:
    """Try every number from begin to end; the one at hand stands in the file `note`."""
    import wisp.session

    allocate = wisp.session.aligned

    def limited(size: int):
        if size > MEMORY:
            raise wisp.OutOfMemoryError("more than this test grants")
        return allocate(size)

    wisp.session.aligned = limited
    data, mutate, counts = Path(path).read_bytes(), globals()[mutation], {}
    with open(note, "r+b") as file:
        current = mmap.mmap(file.fileno(), 8)
        for i in range(begin, end):
            struct.pack_into("<Q", current, 0, i)
            mutated = mutate(data, i)
            try:
                with wisp.load(mutated) as model:
                    if not all(isinstance(d, int) for t in model.inputs for d in t.shape):
                        model._bound = tuple(2 for _ in model._symbols)
                    if sum(np.prod([d if isinstance(d, int) else 2 for d in t.shape], dtype=float) for t in model.inputs) < MEMORY:
                        model.run(model.zero_inputs())
                outcome = "ran"
            except wisp.WispError as error:
                assert str(error) and "\n" not in str(error), f"mutation {i}: unclear message {error!r}"
                outcome = type(error).__name__
            counts[outcome] = counts.get(outcome, 0) + 1
            if i % 8 == 0:
                try:
                    reader.read(mutated)
                except wisp.BadFileError:
                    pass
    print(counts)


def run_attack(tmp_path: Path, data: bytes, mutation: str, begin: int, end: int) -> str:
    (tmp_path / "m.wisp").write_bytes(data)
    (tmp_path / "note").write_bytes(bytes(8))
    code = "import sys; from test_malformed import attack; attack(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])"
    command = [sys.executable, "-c", code, tmp_path / "m.wisp", mutation, str(begin), str(end), tmp_path / "note"]
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(list(map(str, command)), env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
                            timeout=SECONDS)
    at = struct.unpack("<Q", (tmp_path / "note").read_bytes())[0]
    assert result.returncode == 0, f"{mutation}(file, {at}): status {result.returncode}\n{result.stderr[-4000:]}"
    return result.stdout


def graphs_and_states() -> bytes:
    """y = the sum of all x so far, or 0 where c is false: one graph inside each branch's graph, one state with a first value."""
    f32, x, c = np.dtype(np.float32), Value("x", np.dtype(np.float32), (4,)), Value("c", np.dtype(bool), ())
    total, following, y = (Value(n, f32, (4,)) for n in ("total", "following", "y"))

    def both(result: Value, then: Graph, other: Graph) -> Node:
        return Node("If", [c], [result], {"then_branch": then, "else_branch": other}, f"if {result.name}")

    def leaf(name: str, op: str, *inputs: Value) -> Graph:
        result = Value(name, f32, (4,))
        return Graph([], [result], [Node(op, list(inputs), [result], {}, name)])

    inner = Value("inner", f32, (4,))
    middle = Graph([], [inner], [both(inner, leaf("kept", "Abs", following), leaf("never", "Neg", following))])
    nodes = [Node("Add", [total, x], [following], {}, "add"), both(y, middle, leaf("zero", "Sub", following, following))]
    graph = Graph([x, c], [y], nodes)
    return fmt.write(graph, plan_memory(graph, [State(total, following, constant("first", np.float32([1, 2, 3, 4])))]))


@pytest.fixture(scope="session")
def attacked(small_files) -> dict[str, bytes]:
    return {**small_files, "graphs": graphs_and_states()}


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_at_every_byte(attacked, tmp_path, kind):
    data = attacked[kind]
    assert "ran" not in run_attack(tmp_path, data, "truncate", 0, len(data))


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_are_found(attacked, tmp_path, kind):
    """Every bit is under a checksum or must be zero, except padding between sections."""
    counts = eval(run_attack(tmp_path, attacked[kind], "flip", 0, FLIPS))
    assert sum(counts.values()) == FLIPS
    data = attacked[kind]
    table = section_table(data)
    padding = len(data) - HEADER - len(table) * SECTION - sum(size + -size % 4 for _, _, size in table)
    expected = FLIPS * padding / len(data)
    assert counts.get("ran", 0) <= expected + 5 * expected**0.5 + 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mutation", ["flip_repaired", "extreme_repaired"])
def test_contradictions_behind_right_checksums(attacked, tmp_path, kind, mutation):
    print(run_attack(tmp_path, attacked[kind], mutation, 0, FLIPS))


# ---- contradictions made by hand: each file differs from a good one in what is said, all checksums are right


class Editor:
    """A .wisp file taken apart: `sections[name]` are bytes, entries are changed by name of field."""

    def __init__(self, data: bytes) -> None:
        header, table = reader.sections(data)
        self.header = bytearray(data[: reader.HEADER.size])
        self.sections = {reader.SECTIONS[e.id]: bytearray(data[e.offset : e.offset + e.size]) for e in table}
        self.ids = {name: i for i, name in enumerate(reader.SECTIONS)}
        self.flags: dict[str, int] = {}

    def put(self, section: str, index: int, **fields) -> None:
        struct_of = getattr(reader, section.rstrip("s").upper())
        struct_of.put(self.sections[section], index * struct_of.size, **fields)

    def get(self, section: str, index: int):
        struct_of = getattr(reader, section.rstrip("s").upper())
        return struct_of.at(self.sections[section], index * struct_of.size)

    def words(self, section: str) -> memoryview:
        return memoryview(self.sections[section]).cast("I")

    def tensor(self, name: str) -> int:
        """Index by name."""
        strings, tensors = self.sections["strings"], reader.TENSOR.all(self.sections["tensors"])
        return next(i for i, t in enumerate(tensors) if strings[t.name : strings.index(0, t.name)].decode() == name)

    def operator(self, name: str) -> int:
        strings, operators = self.sections["strings"], reader.OPERATOR.all(self.sections["operators"])
        return next(i for i, o in enumerate(operators) if strings[o.name : strings.index(0, o.name)].decode() == name)

    def data(self) -> bytes:
        """The file, in the order of `sections`."""
        head, table, body = self.header, bytearray(len(self.sections) * SECTION), bytearray()
        start = HEADER + len(table)
        for i, (name, content) in enumerate(self.sections.items()):
            body += bytes(-(start + len(body)) % (4096 if name == "weights" else 64))
            reader.SECTION.put(table, i * SECTION, id=self.ids[name], offset=start + len(body), size=len(content),
                               entry_size=fmt.ENTRY_SIZES.get(name, 1), flags=self.flags.get(name, 0))
            body += content
        body += bytes(-(start + len(body)) % 64)
        reader.HEADER.put(head, 0, section_count=len(self.sections), file_size=start + len(body))
        return repair(bytearray(head + table + body))


def owned_twice(file: Editor) -> None:
    """Both branches of the first If are graph 1."""
    file.words("parameters")[file.get("operators", file.operator("if y")).parameters + 1] = 1


def owned_by_nobody(file: Editor) -> None:
    file.put("operators", file.operator("if inner"), code=opcodes()["Identity"].code, parameter_count=0)


def owns_the_model(file: Editor) -> None:
    file.words("parameters")[file.get("operators", file.operator("if y")).parameters] = 0


def owns_its_own_graph(file: Editor) -> None:
    file.words("parameters")[file.get("operators", file.operator("if inner")).parameters] = 1


def names_no_graph(file: Editor) -> None:
    file.words("parameters")[file.get("operators", file.operator("if inner")).parameters + 1] = 77


def reads_from_another_branch(file: Editor) -> None:
    """The else branch reads what the then branch computes."""
    file.words("operands")[file.get("operators", file.operator("zero")).operands] = file.tensor("inner")


def reads_from_inside_a_body(file: Editor) -> None:
    """A node outside reads a tensor of a body."""
    file.words("operands")[file.get("graphs", 0).operands + 2] = file.tensor("kept")


def reads_the_owner(file: Editor) -> None:
    """A body reads the result of the node that runs it."""
    file.words("operands")[file.get("operators", file.operator("kept")).operands] = file.tensor("y")


def body_hands_on_an_outer_value(file: Editor) -> None:
    graph = file.get("graphs", 1)
    file.words("operands")[graph.operands + graph.input_count] = file.tensor("following")


def body_has_an_input(file: Editor) -> None:
    file.put("graphs", 1, input_count=1, output_count=0)


def operators_overlap(file: Editor) -> None:
    file.put("graphs", 1, first_operator=0)


def operators_left_over(file: Editor) -> None:
    last = len(file.sections["graphs"]) // reader.GRAPH.size - 1
    file.put("graphs", last, operator_count=0)


def no_graph(file: Editor) -> None:
    del file.sections["graphs"]


def interface_out_of_bounds(file: Editor) -> None:
    file.put("graphs", 0, operands=0xFFFFFF00)


def interface_names_nothing(file: Editor) -> None:
    file.words("operands")[file.get("graphs", 0).operands] = 0xFFFFFFFF


def state_of_wrong_kind(file: Editor) -> None:
    file.put("states", 0, tensor=file.tensor("x"))


def state_that_nobody_keeps(file: Editor) -> None:
    del file.sections["states"]


def state_with_other_dims(file: Editor) -> None:
    file.put("tensors", file.tensor("total"), dims=(2, 2, 0, 0, 0, 0, 0, 0), rank=2)


def state_with_another_dtype(file: Editor) -> None:
    file.put("tensors", file.tensor("total"), dtype=6)


def next_is_nothing(file: Editor) -> None:
    file.put("states", 0, next=0xFFFFFFFF)


def next_is_the_state(file: Editor) -> None:
    file.put("states", 0, next=file.tensor("total"))


def next_is_inside_a_body(file: Editor) -> None:
    file.put("states", 0, next=file.tensor("kept"))


def first_value_is_no_constant(file: Editor) -> None:
    file.put("states", 0, initial=file.tensor("x"))


def state_behind_its_memory(file: Editor) -> None:
    file.put("tensors", file.tensor("total"), offset=64)


def state_is_computed(file: Editor) -> None:
    operator = file.get("operators", file.operator("add"))
    file.words("operands")[operator.operands + operator.input_count] = file.tensor("total")


def two_states_of_one_tensor(file: Editor) -> None:
    file.sections["states"] += bytes(file.sections["states"])


def unknown_section(file: Editor) -> None:
    file.sections["extra"], file.ids["extra"] = bytearray(b"new"), 63


def sections_out_of_order(file: Editor) -> None:
    file.sections = dict(sorted(file.sections.items(), key=lambda s: s[0] != "graphs"))


def section_twice(file: Editor) -> None:
    file.sections["more"], file.ids["more"] = bytearray(b"{}"), file.ids["weights"]


def unknown_flag_of_a_section(file: Editor) -> None:
    file.flags["metadata"] = 2


def unknown_flag_of_the_file(file: Editor) -> None:
    reader.HEADER.put(file.header, 0, flags=3)


def unknown_flag_of_a_tensor(file: Editor) -> None:
    file.put("tensors", 0, flags=4)


def rows_in_a_ring(file: Editor) -> None:
    file.put("tensors", 0, ring=2)


def text_that_is_no_bytes(file: Editor) -> None:
    file.put("tensors", file.tensor("x"), flags=1)


def plan_without_places(file: Editor) -> None:
    reader.HEADER.put(file.header, 0, flags=0)


def two_values_in_one_place(file: Editor) -> None:
    file.put("tensors", file.tensor("zero"), offset=file.get("tensors", file.tensor("following")).offset)


def a_newer_minor(file: Editor) -> None:
    reader.HEADER.put(file.header, 0, minor=1)


def too_few_words(file: Editor) -> None:
    file.put("operators", file.operator("if y"), parameter_count=1)


CONTRADICTIONS = {
    owned_twice: "bad parameters of node 'if y'", owned_by_nobody: "no node owns graph: 3", owns_the_model: "bad parameters of node 'if y'",
    owns_its_own_graph: "bad parameters of node 'if inner'", names_no_graph: "bad parameters of node 'if inner'",
    reads_from_another_branch: "not computed before it is used", reads_from_inside_a_body: "never computed: output 'kept'",
    reads_the_owner: "not computed before it is used", body_hands_on_an_outer_value: "not an output of the body's own",
    body_has_an_input: "computed twice: output 0", operators_overlap: "bad operators of graph: 1", operators_left_over: "a node belongs to no graph", no_graph: "there is no graph",
    interface_out_of_bounds: "bad inputs or outputs of a graph", interface_names_nothing: "names no tensor",
    state_of_wrong_kind: "do not fit: state 'x'", state_that_nobody_keeps: "differ in number", state_with_other_dims: "do not fit: state",
    state_with_another_dtype: "do not fit: state", next_is_nothing: "bad state", next_is_the_state: "do not fit: state",
    next_is_inside_a_body: "never computed: the next value of a state", first_value_is_no_constant: "do not fit: state",
    state_behind_its_memory: "data out of bounds of tensor 'total'", state_is_computed: "wrong kind of output of node 'add'",
    two_states_of_one_tensor: "differ in number", unknown_section: "does not know a section the file needs",
    sections_out_of_order: "not in order", section_twice: "not in order", unknown_flag_of_a_section: "bad bounds of section",
    unknown_flag_of_the_file: "unknown flags", unknown_flag_of_a_tensor: "bad flags of tensor", rows_in_a_ring: "bad flags of tensor",
    text_that_is_no_bytes: "bad flags of tensor 'x'", plan_without_places: "memory sizes without a plan",
    two_values_in_one_place: "the plan lays an output over input", a_newer_minor: "1.1", too_few_words: "bad parameters of node 'if y'",
}


@pytest.mark.parametrize("change", CONTRADICTIONS, ids=lambda c: c.__name__)
def test_contradictions(change):
    file = Editor(graphs_and_states())
    change(file)
    with pytest.raises(wisp.WispError) as caught:
        wisp.load(file.data())
    assert CONTRADICTIONS[change] in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


def test_the_good_file_is_good():
    assert Editor(graphs_and_states()).data() == graphs_and_states()
    model, total = wisp.load(graphs_and_states()), np.float32([1, 2, 3, 4])
    for _ in range(3):
        total = total + 1
        assert np.array_equal(model.run({"x": np.ones(4, np.float32), "c": np.array(True)})["y"], total)


def test_an_unknown_optional_section_is_skipped():
    file = Editor(graphs_and_states())
    unknown_section(file)
    file.flags["extra"] = reader.OPTIONAL
    assert wisp.load(file.data()).run({"x": np.zeros(4, np.float32), "c": np.array(True)})["y"].tolist() == [1, 2, 3, 4]
    assert "extra" not in reader.read(file.data()).section_sizes
