"""wisp inspect: what is in a file, without running it."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

from .. import file as reader
from .._wisp_lists import OPERATORS
from ..model import load
from ..source import session_size
from . import _shared

HELP = """Print what a .wisp file holds: inputs, outputs, operators, weights, exact memory, metadata.

Reads the file with a second reader that shares no code with the runtime, all checksums verified; the runtime is asked
for the size of a session. Memory = the file + session + arena, nothing else; for dynamic shapes give --shape to have
the arena computed."""

EXAMPLES = """
wisp inspect model.wisp
wisp inspect dynamic.wisp --shape x=1,3,8,8
wisp inspect model.wisp --json
"""

THREADS = (1, 2, 4, 8)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.wisp")
    parser.add_argument("--shape", action="append", metavar="NAME=1,3,224,224", help="bind an input's dynamic axes")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> None:
    shapes = _shared.parse_shapes(arguments.shape)
    source = _shared.readable(arguments.model)
    report = describe(reader.read(source), session_size(source))
    if shapes or report["dynamic"] and not report["symbols"]:
        report["arena_bytes"] = _bound_arena(source, shapes)
    if arguments.json:
        print(_shared.json_text(report))
    else:
        _print(report)


def describe(file: reader.File, session_bytes: int) -> dict[str, Any]:
    """Everything `wisp inspect --json` prints."""
    constants = [t for t in file.tensors if t.kind == "constant"]
    weights: Counter[str] = Counter()
    for t in constants:
        weights[f"{t.dtype} {t.layout}"] += t.size
    return {
        "format": ".".join(map(str, file.version)),
        "file_bytes": file.size,
        "source_sha256": file.source_sha256,
        "inputs": [_tensor(t) for t in file.inputs],
        "outputs": [_tensor(t) for t in file.outputs],
        "states": [_tensor(s.tensor) for s in file.states],
        "symbols": file.symbols,
        "dynamic": not file.is_static,
        "operators": dict(Counter(OPERATORS.get(o.code, f"code {o.code}") for o in file.operators).most_common()),
        "weight_bytes": dict(weights.most_common()),
        "section_bytes": file.section_sizes,
        "session_bytes": session_bytes,
        "arena_bytes": {t: file.arena_size(t) for t in THREADS} if file.is_static else None,
        "metadata": file.metadata,
    }


def _tensor(t: reader.Tensor) -> dict[str, Any]:
    quantization = {"scale": t.scale, "zero_point": t.zero_point} if t.scale else {}
    return {"name": t.name, "dtype": t.dtype, "shape": list(t.dims), **quantization}


def _bound_arena(source: str | bytes, shapes: dict[str, Any]) -> dict[int, int]:
    return {t: load(source, threads=t, shapes=shapes).arena_bytes for t in THREADS}


def _print(report: dict[str, Any]) -> None:
    print(f"file       {_shared.size_text(report['file_bytes'])}, format {report['format']}")
    print(f"source     sha256 {report['source_sha256']}")
    for side in ("inputs", "outputs", "states"):
        for t in report[side]:
            quantized = f"  scale {t['scale']:.6g} zero point {t['zero_point']}" if "scale" in t else ""
            print(f"{side[:-1]:<10} {t['name']}: {t['dtype']} {_shared.shape_text(t['shape'])}{quantized}")
    print(f"operators  {sum(report['operators'].values())}: "
          + ", ".join(f"{n} {name}" for name, n in report["operators"].items()))
    print("weights    "
          + (", ".join(f"{_shared.size_text(n)} {kind}" for kind, n in report["weight_bytes"].items()) or "none"))
    print(f"session    {_shared.size_text(report['session_bytes'])}")
    if report["arena_bytes"] is None:
        print(f"arena      depends on {', '.join(map(repr, report['symbols'])) or 'the data'}: give --shape")
    else:
        print("arena      " + ", ".join(f"{_shared.size_text(n)} with {t} thread{'s' * (t > 1)}"
                                        for t, n in report["arena_bytes"].items()))
    for key, value in report["metadata"].items():
        text = json.dumps(value, ensure_ascii=False)
        print(f"{key:<10} {text if len(text) <= 200 else text[:200] + ' ...'}")
