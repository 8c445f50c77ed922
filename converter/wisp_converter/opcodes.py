"""The instruction set, read from ops.def: every operator's code and parameter words."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_LINE = re.compile(r"^OP\((\d+),\s*(\w+),\s*(.*)\)\s*$", re.MULTILINE)
_PARAMETER = re.compile(r"([IFA])\((\w+)\)")

MAX_RANK = 8

# What a parameter is when a node does not state it; all others are 0. These leave a result unclamped.
DEFAULTS = {"min": -math.inf, "max": math.inf, "lo": -128, "hi": 127}


@dataclass(frozen=True)
class Opcode:
    """One line of ops.def. `params` are (kind, name): I an int32 word, F a float word, A eight int32 words."""

    code: int
    name: str
    params: tuple[tuple[str, str], ...]


def ops_def() -> Path:
    """ops.def: a copy beside this package in a wheel, otherwise the one in the source tree."""
    here = Path(__file__).resolve().parent
    installed = here / "ops.def"
    return installed if installed.exists() else here.parents[1] / "cbackend" / "src" / "ops.def"


def parse(text: str) -> dict[str, Opcode]:
    """The operators of a text in the form of ops.def, by name."""
    table = {}
    for code, name, params in _LINE.findall(text):
        table[name] = Opcode(int(code), name, tuple(_PARAMETER.findall(params)))
    return table


@cache
def opcodes() -> dict[str, Opcode]:
    """All operators by name."""
    return parse(ops_def().read_text(encoding="utf-8"))


def pack_parameters(op: str, attrs: dict) -> bytes:
    """The parameter words of one node, little-endian. Operators without parameters have one unused word."""
    opcode = opcodes()[op]
    unknown = set(attrs) - {name for _, name in opcode.params}
    if unknown:
        raise KeyError(f"{op} has no parameter {', '.join(sorted(unknown))} in ops.def")
    words = b"".join(_pack(kind, attrs.get(name, DEFAULTS.get(name, 0))) for kind, name in opcode.params)
    return words or bytes(4)


def _pack(kind: str, value) -> bytes:
    if kind == "F":
        return struct.pack("<f", value)
    if kind == "I":
        return struct.pack("<i", int(value))
    items = [int(v) for v in value] if value else []
    return struct.pack("<8i", *items, *[0] * (MAX_RANK - len(items)))
