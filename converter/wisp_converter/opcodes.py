"""The instruction set, read from ops.def: every operator's code, traits and parameter words; layouts from layouts.def.

The build reads it through this too. Imports the standard library only: emit_cffi.py runs it where nothing else is
installed yet.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_ENTRY = re.compile(r"^OP\((\d+),\s*(\w+),\s*([\w\s|]+),\s*(NONE|[IFVG]\(\w+\)(?:\s*[IFVG]\(\w+\))*)\)\s*$",
                    re.MULTILINE)
_PARAMETER = re.compile(r"([IFVG])\((\w+)\)")

MAX_RANK, MAX_DEPTH = 8, 8  # depth: of graphs inside graphs, the model's is 1

# What a parameter is when a node does not state it; all others are 0. These leave a result unclamped.
DEFAULTS = {"min": -math.inf, "max": math.inf, "lo": -128, "hi": 127}


@dataclass(frozen=True)
class Opcode:
    """One entry of ops.def. `params` are (kind, name): I an int32, F a float, V int32s of any number, G a graph."""

    code: int
    name: str
    params: tuple[tuple[str, str], ...]
    traits: frozenset[str]

    @property
    def graphs(self) -> tuple[str, ...]:
        """The names of the parameters that are graphs."""
        return tuple(name for kind, name in self.params if kind == "G")


def def_file(name: str) -> Path:
    """ops.def or layouts.def: a copy beside this package in a wheel, otherwise the one in the source tree."""
    here = Path(__file__).resolve().parent
    installed = here / name
    return installed if installed.exists() else here.parents[1] / "cbackend" / "src" / name


def parse(text: str) -> dict[str, Opcode]:
    """The operators of a text in the form of ops.def, by name. ValueError where two have one name or code."""
    table, codes = {}, set()
    for code, name, traits, params in _ENTRY.findall(text):
        if name in table or code in codes:
            raise ValueError(f"ops.def has two operators of the name {name} or the code {code}")
        codes.add(code)
        names = frozenset(t.strip() for t in traits.split("|")) - {"0"}
        table[name] = Opcode(int(code), name, tuple(_PARAMETER.findall(params)), names)
    return table


@cache
def opcodes() -> dict[str, Opcode]:
    """All operators by name."""
    return parse(def_file("ops.def").read_text(encoding="utf-8"))


def parse_layouts(text: str) -> dict[str, int]:
    """{name: code} of a text in the form of layouts.def."""
    return {name: int(code) for code, name in re.findall(r"^LAYOUT\((\d+), (\w+),", text, re.MULTILINE)}


@cache
def layouts() -> dict[str, int]:
    """The code of every packed layout by name; 0 is plain."""
    return parse_layouts(def_file("layouts.def").read_text(encoding="utf-8"))


def has_trait(op: str, trait: str) -> bool:
    """Whether ops.def gives operator `op` this trait."""
    return trait in opcodes()[op].traits


def pack_parameters(op: str, attrs: dict, graph_index: Callable[[object], int] | None = None) -> bytes:
    """The parameter words of one node, little-endian: one for each I, F and G, two for each V (count, and where its
    values start among these words), then the values of all V.
    `graph_index` gives the index in the file of a graph in `attrs`."""
    opcode = opcodes()[op]
    unknown = set(attrs) - {name for _, name in opcode.params}
    if unknown:
        raise KeyError(f"{op} has no parameter {', '.join(sorted(unknown))} in ops.def")
    fixed = sum(2 if kind == "V" else 1 for kind, _ in opcode.params)
    words, arrays = [], []
    for kind, name in opcode.params:
        value = attrs.get(name, () if kind == "V" else DEFAULTS.get(name, 0))
        if kind == "V":
            words.append(struct.pack("<2I", len(value), fixed + len(arrays)))
            arrays += [int(v) for v in value]
        elif kind == "G":
            words.append(struct.pack("<I", graph_index(value)))
        else:
            words.append(struct.pack("<f", value) if kind == "F" else struct.pack("<i", int(value)))
    return b"".join(words) + struct.pack(f"<{len(arrays)}i", *arrays)
