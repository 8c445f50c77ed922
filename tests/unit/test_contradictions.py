"""Files that contradict themselves in one place, one for each check of open, prepare, resize and run: refused, and why.

Each row takes a good file apart, changes one thing and puts it together with right checksums; the message must be the
one of that check, so a check that is gone is noticed even where another would refuse the file for a second reason.
"""
# SPDX-License-Identifier: Apache-2.0
import io

import numpy as np
import pytest
from conftest import small_cnn
from fuzz import seeds
from test_malformed import graphs_and_states, repair

import wisp
from wisp_converter import convert
from wisp_converter.target import format as fmt
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.opcodes import opcodes
from wisp_converter.target.plan import plan_memory

BAD, SHAPE, UNSUPPORTED = wisp.BadFileError, wisp.ShapeError, wisp.UnsupportedError
F32, S64 = np.dtype("float32"), np.dtype("int64")
ROWS = {"tensors": fmt.TENSOR, "graphs": fmt.GRAPH, "states": fmt.STATE, "operators": fmt.OPERATOR, "symbols": "<u4",
        "operands": "<u4", "parameters": "<u4", "strings": "u1", "metadata": "u1", "weights": "u1"}


# ---- good files


def planned() -> bytes:
    """x -> Relu r, Neg n -> Add y; all dims known and places given. Tensors in this order: x, r, n, y; k constant."""
    x, r, n, y, z = (Value(name, F32, (40,)) for name in "xrnyz")
    k = constant("k", np.ones(40, F32))
    big, bounds = Value("b", F32, (80,)), [constant(c, np.array([v], S64)) for c, v in (("s", 0), ("e", 40))]
    graph = Graph([x], [z], [Node("Relu", [x], [r], {}, "relu"), Node("Concat", [x, x], [big], {"axis": 0}, "concat"),
                             Node("Slice", [big, *bounds], [n], {}, "slice"), Node("Sub", [r, n], [y], {}, "sub"),
                             Node("Mul", [y, k], [z], {}, "mul")])
    return fmt.write(graph, plan_memory(graph))


def shapes() -> bytes:
    """Two values computed while shapes are planned; Gather reads the first."""
    x, y = Value("x", F32, (16,)), Value("y", F32, (4,))
    a, b, late = (Value(name, S64, (4,)) for name in ("a", "b", "late"))
    good, evil = constant("good", np.arange(4)), constant("evil", np.full(4, 1 << 34))
    nodes = [Node("Identity", [good], [a], {}, "first"), Node("Gather", [x, a], [y], {"axis": 0}, "gather"),
             Node("Identity", [evil], [b], {}, "second")]
    plan = fmt.Plan(offsets={x: 0, y: 64, late: 128}, shape_offsets={a: 0, b: 32}, plan_size=192, shape_size=64,
                    is_static=True)
    return fmt.write(Graph([x, late], [y], nodes), plan)


def open_shape() -> bytes:
    x, y, w = Value("x", F32, ("n", "m")), Value("y", F32, (None, None)), constant("w", np.ones((1, 3), F32))
    return fmt.write(Graph([x], [y], [Node("Mul", [x, w], [y], {}, "mul")]), fmt.Plan())


def nested(depth: int) -> bytes:
    """If inside If."""
    c, x = Value("c", np.dtype(bool), ()), Value("x", F32, (2,))

    def graph(d: int) -> Graph:
        y = Value(f"y{d}", F32, (2,))
        if d == depth:
            return Graph([], [y], [Node("Neg", [x], [y], {}, "neg")])
        bodies = {"then_branch": graph(d + 1), "else_branch": graph(depth)}
        return Graph([], [y], [Node("If", [c], [y], bodies, f"if{d}")])

    model = graph(1)
    return fmt.write(Graph([c, x], model.outputs, model.nodes), fmt.Plan())


def scratch() -> bytes:
    """Convolutions, which need scratch."""
    return convert(small_cnn(), verify=False)


FILES = {"planned": planned, "scratch": scratch, "shapes": shapes, "open": open_shape, "nested": lambda: nested(3),
         "branches": seeds.branches, "loop": seeds.loop, "state": seeds.state, "both": graphs_and_states}


# ---- taken apart


class Parts:
    """Header and sections as arrays that can be written to."""

    def __init__(self, data: bytes) -> None:
        self.header = np.frombuffer(data, fmt.HEADER, 1)[0].copy().reshape(())
        self.sections = {name: np.zeros(0, row) for name, row in ROWS.items()}
        for entry in np.frombuffer(data, fmt.SECTION, int(self.header["section_count"]), fmt.HEADER.itemsize):
            name = fmt.SECTIONS[entry["id"]]
            content = data[int(entry["offset"]): int(entry["offset"] + entry["size"])]
            self.sections[name] = np.frombuffer(content, ROWS[name]).copy()

    def name_of(self, offset: int) -> str:
        return bytes(self.sections["strings"][offset:]).split(b"\0")[0].decode()

    def index(self, section: str, key: int | str) -> int:
        rows = self.sections[section]
        return (key if isinstance(key, int)
                else next(i for i, row in enumerate(rows) if self.name_of(int(row["name"])) == key))

    def together(self) -> bytes:
        file = io.BytesIO()
        fmt.assemble(file, self.header, self.sections)
        return file.getvalue()


def header(**fields):
    """An edit of the header that leaves its checksum right."""

    def edit(parts: Parts) -> None:
        for name, value in fields.items():
            parts.header[name] = value

    return edit


def row(section: str, key: int | str, **fields):
    """An edit of a row, found by its index or name."""

    def edit(parts: Parts) -> None:
        rows = parts.sections[section]
        for name, value in fields.items():
            rows[parts.index(section, key)][name] = value

    return edit


def word(section: str, index: int, value: int):
    def edit(parts: Parts) -> None:
        parts.sections[section][index] = value

    return edit


def operand(node: str, position: int, tensor: str | int):
    """Another operand; outputs follow the inputs."""

    def edit(parts: Parts) -> None:
        at = int(parts.sections["operators"][parts.index("operators", node)]["operands"]) + position
        parts.sections["operands"][at] = tensor if isinstance(tensor, int) else parts.index("tensors", tensor)

    return edit


def interface(graph: int, position: int, tensor: str | int):
    """Another input or output of a graph; outputs follow the inputs."""

    def edit(parts: Parts) -> None:
        at = int(parts.sections["graphs"][graph]["operands"]) + position
        parts.sections["operands"][at] = tensor if isinstance(tensor, int) else parts.index("tensors", tensor)

    return edit


def parameter(node: str, position: int, value: int):
    def edit(parts: Parts) -> None:
        first = int(parts.sections["operators"][parts.index("operators", node)]["parameters"])
        parts.sections["parameters"][first + position] = value

    return edit


def without(section: str, count: int | None = None):
    """The section loses its last rows, or all."""

    def edit(parts: Parts) -> None:
        rows = parts.sections[section]
        parts.sections[section] = rows[: 0 if count is None else len(rows) - count]

    return edit


def both(*edits):
    def edit(parts: Parts) -> None:
        for one in edits:
            one(parts)

    return edit


def dims(tensor: str, position: int, value: int):
    def edit(parts: Parts) -> None:
        parts.sections["tensors"][parts.index("tensors", tensor)]["dims"][position] = value

    return edit


def over(tensor: str, other: str, shift: int = 0):
    """The place of one tensor is that of another."""

    def edit(parts: Parts) -> None:
        rows = parts.sections["tensors"]
        rows[parts.index("tensors", tensor)]["offset"] = rows[parts.index("tensors", other)]["offset"] + shift

    return edit


def next_value(tensor: str):
    """The first state's next value is another tensor."""

    def edit(parts: Parts) -> None:
        parts.sections["states"][0]["next"] = parts.index("tensors", tensor)

    return edit


NONE, MANY = fmt.NO_TENSOR, 1 << 30

OPEN = [
    # the header
    ("planned", header(flags=2), BAD, "unknown flags"),
    ("planned", header(plan_size=1 << 48), BAD, "memory sizes out of range"),
    ("planned", header(scratch_size=1 << 48), BAD, "memory sizes out of range"),
    ("planned", header(shared_size=1 << 48), BAD, "memory sizes out of range"),
    ("planned", header(state_size=1 << 48), BAD, "memory sizes out of range"),
    ("planned", header(shape_size=1 << 31), BAD, "memory sizes out of range"),
    ("planned", header(plan_size=100_001), BAD, "not multiples of 64"),
    ("planned", header(scratch_size=8), BAD, "not multiples of 64"),
    ("planned", header(shared_size=32), BAD, "not multiples of 64"),
    ("state", header(state_size=100), BAD, "not multiples of 64"),
    ("planned", header(minor=1), BAD, "file format version is 1.1, this runtime reads up to 1.0"),
    ("planned", header(flags=0), BAD, "memory sizes without a plan"),
    ("open", header(plan_size=64), BAD, "memory sizes without a plan"),
    ("open", header(scratch_size=64), BAD, "memory sizes without a plan"),
    ("open", header(shared_size=64), BAD, "memory sizes without a plan"),
    # strings and tensors
    ("planned", word("strings", -1, 65), BAD, "strings do not end in zero"),
    ("planned", without("strings"), BAD, "strings do not end in zero"),
    ("open", word("symbols", 0, MANY), BAD, "bad name of a symbolic axis"),
    ("planned", row("tensors", "y", name=MANY), BAD, "bad name of a tensor"),
    ("planned", row("tensors", "y", dtype=8), BAD, "bad dtype, rank, kind or layout of tensor 'y'"),
    ("planned", row("tensors", "y", rank=9), BAD, "bad dtype, rank, kind or layout of tensor 'y'"),
    ("planned", row("tensors", "y", kind=4), BAD, "bad dtype, rank, kind or layout of tensor 'y'"),
    ("planned", row("tensors", "y", layout=2), BAD, "bad dtype, rank, kind or layout of tensor 'y'"),
    ("planned", dims("y", 1, 1), BAD, "bad dims of tensor 'y'"),
    ("planned", dims("y", 0, -1), BAD, "bad dims of tensor 'y'"),
    ("open", dims("x", 0, -4), BAD, "bad dims of tensor 'x'"),
    ("open", dims("w", 0, -1), BAD, "bad dims of tensor 'w'"),
    *(("planned", row("tensors", "y", scale=scale), BAD, "bad scale of tensor 'y'") for scale in (-1, np.nan, np.inf)),
    ("planned", row("tensors", "y", flags=4), BAD, "bad flags of tensor 'y'"),
    ("planned", row("tensors", "y", flags=fmt.TENSOR_TEXT), BAD, "bad flags of tensor 'y'"),
    ("planned", row("tensors", "y", block=32), BAD, "bad flags of tensor 'y'"),
    ("planned", row("tensors", "y", ring=3), BAD, "bad flags of tensor 'y'"),
    ("planned", row("tensors", "y", size=164), BAD, "size does not match dims of tensor 'y'"),
    ("planned", dims("y", 0, 41), BAD, "size does not match dims of tensor 'y'"),
    ("planned", row("tensors", "k", layout=9), BAD, "size does not match dims of tensor 'k'"),
    ("planned", row("tensors", "y", offset=32), BAD, "data out of bounds of tensor 'y'"),
    ("planned", row("tensors", "y", offset=1 << 40), BAD, "data out of bounds of tensor 'y'"),
    ("planned", row("tensors", "k", offset=64 * 99), BAD, "data out of bounds of tensor 'k'"),
    ("planned", row("tensors", "k", offset=(1 << 64) - 64), BAD, "data out of bounds of tensor 'k'"),
    ("shapes", row("tensors", "b", offset=0), BAD, "data out of bounds of tensor 'b'"),
    ("shapes", row("tensors", "b", offset=36), BAD, "data out of bounds of tensor 'b'"),
    ("shapes", row("tensors", "b", offset=64), BAD, "data out of bounds of tensor 'b'"),
    ("state", row("tensors", "s", offset=64), BAD, "data out of bounds of tensor 's'"),
    # operators
    ("planned", word("operands", 0, 99), BAD, "an operand names no tensor"),
    ("planned", row("operators", "relu", name=MANY), BAD, "bad name of a node"),
    ("planned", row("operators", "relu", code=9999), UNSUPPORTED, "no operator with code 9999, used by node 'relu'"),
    ("planned", row("operators", "relu", operands=MANY), BAD, "bad operands of node 'relu'"),
    ("planned", row("operators", "relu", input_count=999), BAD, "bad operands of node 'relu'"),
    ("planned", row("operators", "relu", flags=2), BAD, "bad operands of node 'relu'"),
    ("planned", row("operators", "concat", parameters=MANY), BAD, "bad parameters of node 'concat'"),
    ("planned", row("operators", "concat", parameter_count=0), BAD, "bad parameters of node 'concat'"),
    ("planned", row("operators", "relu", parameter_count=1), BAD, "bad parameters of node 'relu'"),
    ("planned", row("operators", "relu", flags=1), BAD, "wrong kind of output of node 'relu'"),
    ("shapes", row("operators", "first", flags=0), BAD, "wrong kind of output of node 'first'"),
    ("planned", operand("relu", 1, "k"), BAD, "wrong kind of output of node 'relu'"),
    # graphs
    ("planned", without("graphs"), BAD, "there is no graph"),
    ("planned", row("graphs", 0, name=MANY), BAD, "bad name of a graph"),
    ("planned", row("graphs", 0, operands=MANY), BAD, "bad inputs or outputs of a graph"),
    ("planned", row("graphs", 0, output_count=99), BAD, "bad inputs or outputs of a graph"),
    ("planned", interface(0, 0, NONE), BAD, "an input or output names no tensor"),
    ("planned", interface(0, 0, "k"), BAD, "wrong kind of input or output tensor 'k'"),
    ("nested", row("graphs", 1, first_operator=0), BAD, "bad operators of graph: 1"),
    ("nested", row("graphs", 1, operator_count=99), BAD, "bad operators of graph: 1"),
    ("planned", row("graphs", 0, operator_count=1), BAD, "a node belongs to no graph"),
    ("nested", parameter("if1", 0, 2), BAD, "bad parameters of node 'if1'"),
    ("nested", parameter("if1", 1, 1), BAD, "bad parameters of node 'if1'"),
    ("nested", parameter("if2", 0, 0), BAD, "bad parameters of node 'if2'"),
    ("nested", parameter("if2", 1, 99), BAD, "bad parameters of node 'if2'"),
    ("nested", row("operators", "if1", code=opcodes()["Neg"].code, parameter_count=0), BAD, "no node owns graph: 1"),
    # states
    ("state", without("states"), BAD, "states and tensors of state kind differ in number"),
    ("state", row("states", 0, tensor=99), BAD, "bad state: 0"),
    ("state", row("states", 0, next=99), BAD, "bad state: 0"),
    ("state", row("states", 0, initial=99), BAD, "bad state: 0"),
    ("state", row("states", 0, flags=1), BAD, "bad state: 0"),
    ("state", row("states", 0, tensor=0), BAD, "do not fit: state"),
    ("state", dims("y", 0, -1), BAD, "do not fit: state 's'"),
    ("state", row("states", 0, initial=0), BAD, "do not fit: state 's'"),
    ("state", next_value("s"), BAD, "do not fit: state 's'"),
    ("state", row("tensors", "s", dtype=6), BAD, "do not fit: state 's'"),
    ("state", operand("", 2, "s"), BAD, "wrong kind of output of node ''"),
]

PREPARE = [
    # order
    ("planned", operand("relu", 0, "y"), BAD, "node 'relu' (Relu): not computed before it is used: input 0"),
    ("planned", operand("sub", 2, "r"), BAD, "node 'sub' (Sub): computed twice: output 0"),
    ("planned", operand("relu", 1, "x"), BAD, "node 'relu' (Relu): computed twice: output 0"),
    ("branches", interface(0, 1, "c"), BAD, "listed twice: input 'c'"),
    ("branches", interface(1, 0, "x"), BAD, "not an output of the body's own, or listed twice 'x'"),
    ("branches", interface(2, 0, "a"), BAD, "never computed: output 'a'"),
    ("nested", operand("neg", 0, "y1"), BAD, "node 'neg' (Neg): not computed before it is used: input 0"),
    ("nested", operand("neg", 0, "y2"), BAD, "node 'neg' (Neg): not computed before it is used: input 0"),
    ("nested", interface(0, 2, "y3"), BAD, "never computed: output 'y3'"),
    ("both", next_value("kept"), BAD, "never computed: the next value of a state, 'kept'"),
    ("loop", interface(1, 6, "q"), BAD, "not an output of the body's own, or listed twice 'q'"),
    ("loop", interface(1, 7, "p1"), BAD, "not an output of the body's own, or listed twice 'p1'"),
    # operands
    ("planned", row("operators", "relu", code=opcodes()["Sub"].code), BAD,
     "node 'relu' (Sub): wrong number of inputs: 1"),
    ("planned", both(row("operators", "relu", output_count=2), operand("concat", 0, NONE)), BAD,
     "node 'relu' (Relu): wrong number of outputs: 2"),
    ("planned", operand("relu", 0, NONE), BAD, "node 'relu' (Relu): missing input 0"),
    ("planned", row("tensors", "r", dtype=6), BAD, "node 'relu' (Relu): dtype in the file does not fit output 0"),
    ("open", row("tensors", "y", rank=1, dims=[-1] + [0] * 7), BAD,
     "node 'mul' (Mul): rank in the file does not fit output 0"),
    ("open", dims("y", 1, 2), SHAPE, "inputs do not give the shape the file states for output 0"),
    # a plan: an output shares memory with an input by the rule of aliases, or not at all
    ("planned", both(header(plan_size=4096), over("y", "r", 64)), BAD,
     "node 'sub' (Sub): the plan lays an output over input"),
    ("planned", over("n", "b"), BAD, "node 'slice' (Slice): the plan lays an output over input 0"),
    ("planned", over("b", "x"), BAD, "node 'concat' (Concat): the plan lays an output over input 1"),
    ("scratch", header(scratch_size=0), BAD, "the file leaves too little scratch, bytes needed:"),
    # shapes that are planned
    ("shapes", operand("second", 0, "late"), BAD,
     "node 'second' (Identity): runs while shapes are planned but is not known by then: input 0"),
]


@pytest.mark.parametrize(("file", "edit", "error", "words"), OPEN + PREPARE,
                         ids=lambda value: value if isinstance(value, str) else "")
def test_a_contradiction_is_refused(file, edit, error, words):
    parts = Parts(FILES[file]())
    edit(parts)
    data = parts.together()
    with pytest.raises(error) as caught:
        prepare(data)
    assert words in str(caught.value)


def prepare(data: bytes) -> None:
    """Open, and make a session; symbolic axes are 2, 3."""
    with wisp.load(data) as model:
        model._bound = tuple(range(2, 2 + len(model._symbols)))
        assert model.arena_bytes >= 0


def test_a_message_is_one_line_whatever_a_node_is_called():
    graph = Graph([Value("x", F32, (4,))], [Value("y", F32, (5,))], [])
    graph.nodes.append(Node("Relu", graph.inputs, graph.outputs, {}, "a\nnode\t\x7f"))
    with pytest.raises(wisp.WispError) as caught:
        prepare(fmt.write(graph, plan_memory(graph)))
    assert "node 'a node  ' (Relu)" in str(caught.value)


@pytest.mark.parametrize("file", FILES)
def test_what_is_put_together_again_is_good(file):
    prepare(Parts(FILES[file]()).together())


@pytest.mark.parametrize(("depth", "good"), [(8, True), (9, False)])
def test_graphs_inside_graphs_to_a_depth_of_eight(depth, good):
    if good:
        return prepare(nested(depth))
    with pytest.raises(BAD, match="graphs inside graphs, deeper than: 8"):
        prepare(nested(depth))


# ---- the section table: bytes, not parts


def table(position: int, **fields):
    """An edit of an entry of the section table."""

    def edit(data: bytearray) -> None:
        at = fmt.HEADER.itemsize + position * fmt.SECTION.itemsize
        entry = np.frombuffer(data, fmt.SECTION, 1, at).copy()
        for name, value in fields.items():
            entry[name] = value
        data[at : at + fmt.SECTION.itemsize] = entry.tobytes()

    return edit


def count_sections(count: int):
    def edit(data: bytearray) -> None:
        data[8:12] = count.to_bytes(4, "little")

    return edit


def lay_second_section_over_first(data: bytearray) -> None:
    first = np.frombuffer(data, fmt.SECTION, 1, fmt.HEADER.itemsize)
    table(1, offset=first["offset"][0])(data)


@pytest.mark.parametrize(("edit", "words"), [
    (count_sections(65), "too many sections"),
    (table(2, id=1), "sections are not in order of their ids"),
    (table(1, id=1), "sections are not in order of their ids"),
    (table(7, id=99), "does not know a section the file needs: 99"),
    (table(0, entry_size=64), "bad bounds of section 'tensors'"),
    (table(0, entry_size=0), "bad bounds of section 'tensors'"),
    (table(0, size=71), "bad bounds of section 'tensors'"),
    (table(0, offset=96), "bad bounds of section 'tensors'"),
    (table(0, offset=1 << 40), "bad bounds of section 'tensors'"),
    (lay_second_section_over_first, "sections overlap"),
    (table(0, size=72 << 40), "bad bounds of section 'tensors'"),
    (table(0, flags=2), "bad bounds of section 'tensors'"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_contradiction_in_the_section_table_is_refused(edit, words):
    data = bytearray(planned())
    edit(data)
    with pytest.raises(wisp.WispError) as caught:
        prepare(repair(data))
    assert words in str(caught.value)


def test_an_unknown_section_is_skipped_where_it_is_optional():
    data = bytearray(planned())
    last = int(np.frombuffer(data, "<u4", 1, 8)[0]) - 1
    section = np.frombuffer(data, fmt.SECTION, 1, fmt.HEADER.itemsize + (last - 1) * fmt.SECTION.itemsize)
    assert section["id"] == 8  # metadata
    table(last, id=99, flags=fmt.SECTION_OPTIONAL)(data)
    with pytest.raises(BAD, match="data out of bounds of tensor"):  # the weights are gone, nothing else
        prepare(repair(data))


# ---- resize


@pytest.mark.parametrize(("symbols", "words"),
                         [((2,), "bind axis 'm' of input 'x' to an extent first"), ((2, -1), "bind axis 'm'"),
                          ((1 << 30, 1 << 30), "too large: input 'x'"), ((2, 4), "do not broadcast")])
def test_extents_that_do_not_fit_are_refused(symbols, words):
    with wisp.load(open_shape()) as model:
        model._bound = symbols
        with pytest.raises(SHAPE) as caught:
            assert model.arena_bytes
        assert words in str(caught.value)


def test_a_session_whose_plan_outgrows_its_arena_runs_only_with_another():
    from wisp._library import aligned, ffi, lib

    data = aligned(len(file := open_shape()))
    data[: len(file)] = np.frombuffer(file, np.uint8)
    model, error, session = ffi.new("wisp_model *"), ffi.new("wisp_error *"), ffi.new("wisp_session **")
    assert lib.wisp_open(model, ffi.from_buffer(data), len(file), error) == lib.WISP_OK
    memory = aligned(lib.wisp_session_size(model))
    small, large = ffi.new("int32_t[2]", [2, 3]), ffi.new("int32_t[2]", [2000, 3])
    options = ffi.new("wisp_options *", {"symbols": small, "symbol_count": 2})
    assert lib.wisp_prepare(model, options, ffi.from_buffer(memory), len(memory), session, error) == lib.WISP_OK
    arena = aligned(lib.wisp_arena_size(session[0]))
    assert lib.wisp_bind(session[0], ffi.from_buffer(arena), len(arena), error) == lib.WISP_OK
    assert lib.wisp_run(session[0], error) == lib.WISP_OK
    assert lib.wisp_resize(session[0], large, 2, error) == lib.WISP_OK
    assert lib.wisp_input_data(session[0], 0) == ffi.NULL
    assert lib.wisp_run(session[0], error) == lib.WISP_BAD_ARGUMENT
    assert b"bind an arena" in ffi.string(error.message)
    assert lib.wisp_bind(session[0], ffi.from_buffer(arena), len(arena), error) == lib.WISP_NO_MEMORY
    assert lib.wisp_resize(session[0], small, 2, error) == lib.WISP_OK
    assert lib.wisp_bind(session[0], ffi.from_buffer(arena), len(arena), error) == lib.WISP_OK
    assert lib.wisp_run(session[0], error) == lib.WISP_OK


# ---- what operators once believed


def test_global_pooling_gives_one_value():
    x, y = Value("x", F32, (1, 3, 3, 2)), Value("y", F32, (1, 2, 2, 2))
    data = fmt.write(Graph([x], [y], [Node("AveragePool", [x], [y], {"global": 1}, "pool")]), fmt.Plan())
    with pytest.raises(SHAPE, match="do not give the shape the file states for output 0"):
        prepare(data)


def test_layer_normalization_without_its_first_output():
    x, mean, scale = Value("x", F32, (2, 4)), Value("m", F32, (2, 1)), constant("s", np.ones(4, F32))
    data = fmt.write(Graph([x], [mean], [Node("LayerNormalization", [x, scale], [None, mean], {"axis": -1}, "norm")]),
                     fmt.Plan())
    with pytest.raises(BAD, match="missing output"):
        prepare(data)


def test_layer_normalization_of_rows_without_values():
    """Their mean is that of nothing."""
    x, y, mean = Value("x", F32, (3, 0)), Value("y", F32, (3, 0)), Value("m", F32, (3, 1))
    scale = constant("s", np.ones(1, F32))
    data = fmt.write(Graph([x], [y, mean], [Node("LayerNormalization", [x, scale], [y, mean], {"axis": -1}, "norm")]),
                     fmt.Plan())
    assert np.isnan(wisp.load(data).run(np.zeros((3, 0), F32))["m"]).all()
