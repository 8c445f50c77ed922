"""Prints, for make and CMake, what a build for some .wisp models needs: operators, kernels, float, session, arena."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys

import wisp
from wisp import file
from wisp._wisp_lists import OPERATORS
from wisp.source import session_size

EDGES = {"QuantizeLinear", "DequantizeLinear"}
MOVEMENT = range(120, 150)  # the shape family of ops.def moves f32 without computing
COMPUTED = {"Cast", "Range"}  # but for these


def needs_float(op: file.Operator) -> bool:
    """Whether this node calls an f32 kernel or computes in f32 by itself."""
    name = OPERATORS[op.code]
    if name in EDGES or op.code in MOVEMENT and name not in COMPUTED:
        return False
    return any(t is not None and t.dtype.startswith("float") and t.kind != "constant" for t in op.inputs + op.outputs)


def main(paths: list[str]) -> None:
    models = [file.read(path) for path in paths]
    if not all(m.is_static for m in models):
        sys.exit("settings.py: a model with dynamic axes has no fixed arena: bind them when it is converted")
    operators = sorted({OPERATORS[op.code] for m in models for op in m.operators})
    print("WISP_OPS=" + ",".join(operators))
    print("WISP_SLOTS=" + ",".join(sorted({slot for path in paths for slot in wisp.load(path).kernel_slots()})))
    print("WISP_FLOAT=" + ("ON" if any(needs_float(op) for m in models for op in m.operators) else "OFF"))
    print(f"SESSION_SIZE={max(map(session_size, paths))}")
    print(f"ARENA_SIZE={max(m.arena_size(1) for m in models)}")


if __name__ == "__main__":
    main(sys.argv[1:])
