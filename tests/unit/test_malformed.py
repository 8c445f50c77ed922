"""Hostile files: truncated anywhere, bits flipped, with and without repaired checksums. A clear error or a run, never a crash.

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

FLIPS = 4_000  # for each of three files and three mutations: 36,000 in all
SECONDS = 280
MEMORY = 1 << 24  # bytes; a mutation that asks for more is answered with "no memory"
HEADER, SECTION = 128, 48
WEIGHTS = 9
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
    end = struct.unpack_from("<Q", data, HEADER + WEIGHTS * SECTION + 8)[0] if rng.random() < 0.9 else len(data)
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        changed[int(rng.integers(end))] ^= 1 << int(rng.integers(8))
    return repair(changed)


def extreme_repaired(data: bytes, seed: int) -> bytes:
    """A 32-bit word of the structures replaced by a value at some boundary, checksums made right again."""
    rng = np.random.default_rng(seed)
    end = struct.unpack_from("<Q", data, HEADER + WEIGHTS * SECTION + 8)[0]
    changed = bytearray(data)
    struct.pack_into("<I", changed, 4 * int(rng.integers(end // 4)), EXTREMES[int(rng.integers(len(EXTREMES)))])
    return repair(changed)


def repair(data: bytearray) -> bytes:
    """Make the checksums of all sections and of the header right, where sections still lie inside the file."""
    from wisp.file import checksum

    for i in range(WEIGHTS + 1):
        at = HEADER + i * SECTION
        offset, size = struct.unpack_from("<QQ", data, at + 8)
        if offset + size <= len(data):
            struct.pack_into("<QQ", data, at + 24, *checksum(data[offset : offset + size + -size % 4]))
    struct.pack_into("<QQ", data, 112, 0, 0)
    struct.pack_into("<QQ", data, 112, *checksum(data[: HEADER + (WEIGHTS + 1) * SECTION]))
    return bytes(data)


# ---- the process that is attacked


def attack(path: str, mutation: str, begin: int, end: int, note: str) -> None:
    """Try every number from begin to end; the one at hand stands in the file `note`."""
    import wisp
    import wisp.session
    from wisp.file import read

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
                    read(mutated)
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


@pytest.mark.parametrize("kind", ["float", "int8", "dynamic"])
def test_truncated_at_every_byte(small_files, tmp_path, kind):
    data = small_files[kind]
    assert "ran" not in run_attack(tmp_path, data, "truncate", 0, len(data))


@pytest.mark.parametrize("kind", ["float", "int8", "dynamic"])
def test_flipped_bits_are_found(small_files, tmp_path, kind):
    """Every bit is under a checksum or must be zero, except padding between sections."""
    counts = eval(run_attack(tmp_path, small_files[kind], "flip", 0, FLIPS))
    assert sum(counts.values()) == FLIPS
    data = small_files[kind]
    sections = [struct.unpack_from("<QQ", data, HEADER + i * SECTION + 8) for i in range(WEIGHTS + 1)]
    padding = len(data) - HEADER - (WEIGHTS + 1) * SECTION - sum(size + -size % 4 for _, size in sections)
    expected = FLIPS * padding / len(data)
    assert counts.get("ran", 0) <= expected + 5 * expected**0.5 + 5


@pytest.mark.parametrize("kind", ["float", "int8", "dynamic"])
@pytest.mark.parametrize("mutation", ["flip_repaired", "extreme_repaired"])
def test_contradictions_behind_right_checksums(small_files, tmp_path, kind, mutation):
    print(run_attack(tmp_path, small_files[kind], mutation, 0, FLIPS))
