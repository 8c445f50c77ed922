"""wisp ops: what this installation can run and import."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from .. import _library
from .._library import lib
from .._wisp_lists import OPERATORS
from . import _shared

HELP = """Print what is supported: operators, ONNX operators that can be imported, kernels.

Every operator runs on every instruction set, through portable C. The kernel table shows which inner loops this build
and this machine have in a faster form. All of it is read from the library and the converter, none of it is a list
kept by hand."""

EXAMPLES = """
wisp ops
wisp ops --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> None:
    report: dict[str, Any] = {"operators": sorted(OPERATORS.values()), "kernels": _kernels(),
                              "importers": _importers()}
    if arguments.json:
        print(_shared.json_text(report))
        return
    print(f"{len(report['operators'])} operators in the runtime:")
    print(_columns(report["operators"]))
    if report["importers"] is None:
        print("\nONNX operators: the converter is not installed (pip install 'wisp[converter]')")
    else:
        print(f"\n{len(report['importers'])} ONNX operators can be imported:")
        print(_columns(report["importers"]))
    sets = list(report["kernels"])
    rows = [["kernel", *sets]] + [[k, *("yes" if k in report["kernels"][s] else "-" for s in sets)]
                                  for k in report["kernels"]["scalar"]]
    print("\nKernels of their own for each instruction set:")
    print(_shared.table(rows))


def _kernels() -> dict[str, list[str]]:
    slots = _names(lib.wisp_slot_name)
    kernels = {}
    for bit, name in enumerate(_names(lib.wisp_cpu_name)):
        if own := [slot for i, slot in enumerate(slots) if lib.wisp_has_kernel(bit, i)]:
            kernels[name] = own
    return kernels


def _names(function: Callable[[int], Any]) -> list[str]:
    names: list[str] = []
    while name := _library.text(function(len(names))):
        names.append(name)
    return names


def _importers() -> list[str] | None:
    try:
        from wisp_converter.sources.onnx.registry import importers
    except ImportError:
        return None
    return list(importers())


def _columns(names: list[str], width: int = 100) -> str:
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > width:
            lines.append("")
        lines[-1] += f"  {name}"
    return "\n".join(lines)
