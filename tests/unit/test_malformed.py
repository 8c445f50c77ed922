"""Hostile files: truncated anywhere, bits flipped, with and without repaired checksums.
A clear error or a run, never a crash.

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
from wisp import file as reader
from wisp_converter.target import format as fmt
from wisp_converter.target.format import State
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.target.plan import plan_memory

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
            struct.pack_into("<QQ", data, HEADER + i * SECTION + 24,
                             *reader.checksum(data[offset : offset + size + -size % 4]))
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
                    if sum(np.prod([d if isinstance(d, int) else 2 for d in t.shape], dtype=float)
                           for t in model.inputs) < MEMORY:
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
    code = ("import sys; from test_malformed import attack; "
            "attack(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])")
    command = [sys.executable, "-c", code, tmp_path / "m.wisp", mutation, str(begin), str(end), tmp_path / "note"]
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent),
                             os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(list(map(str, command)), env={**os.environ, "PYTHONPATH": paths},
                            capture_output=True, text=True, timeout=SECONDS)
    at = struct.unpack("<Q", (tmp_path / "note").read_bytes())[0]
    assert result.returncode == 0, f"{mutation}(file, {at}): status {result.returncode}\n{result.stderr[-4000:]}"
    return result.stdout


def graphs_and_states() -> bytes:
    """y = the sum of all x so far, or 0 where c is false:
    one graph inside each branch's graph, one state with a first value."""
    f32, x, c = np.dtype(np.float32), Value("x", np.dtype(np.float32), (4,)), Value("c", np.dtype(bool), ())
    total, following, y = (Value(n, f32, (4,)) for n in ("total", "following", "y"))

    def both(result: Value, then: Graph, other: Graph) -> Node:
        return Node("If", [c], [result], {"then_branch": then, "else_branch": other}, f"if {result.name}")

    def leaf(name: str, op: str, *inputs: Value) -> Graph:
        result = Value(name, f32, (4,))
        return Graph([], [result], [Node(op, list(inputs), [result], {}, name)])

    inner = Value("inner", f32, (4,))
    middle = Graph([], [inner], [both(inner, leaf("kept", "Abs", following), leaf("never", "Neg", following))])
    nodes = [Node("Add", [total, x], [following], {}, "add"),
             both(y, middle, leaf("zero", "Sub", following, following))]
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
