"""Writes what the binding knows about the library, read from its headers at build time.

_wisp_cffi.py: the declarations between cffi-begin and cffi-end of wisp.h. _wisp_lists.py: the operators of ops.def.
usage: emit_cffi.py CBACKEND_FOLDER OUTPUT_FOLDER
"""
# SPDX-License-Identifier: Apache-2.0
import runpy
import sys
from pathlib import Path

from cffi import FFI


def declarations(header: str) -> str:
    """The marked region of wisp.h."""
    start = header.index("/* cffi-begin")
    return header[header.index("*/", start) + 2 : header.index("/* cffi-end")]


def operators(ops_def: str) -> dict:
    """{code: name} of every operator, by the converter's parser:
    it is there when the package is built, not where it runs."""
    parse = runpy.run_path(str(Path(__file__).parent.parent / "converter" / "wisp_converter" / "opcodes.py"))["parse"]
    return {opcode.code: name for name, opcode in parse(ops_def).items()}


if __name__ == "__main__":
    cbackend, output = map(Path, sys.argv[1:])
    ffi = FFI()
    ffi.cdef(declarations((cbackend / "include" / "wisp.h").read_text(encoding="utf-8")))
    ffi.set_source("wisp._wisp_cffi", None)
    ffi.emit_python_code(str(output / "_wisp_cffi.py"))
    names = operators((cbackend / "src" / "ops.def").read_text(encoding="utf-8"))
    (output / "_wisp_lists.py").write_text(f"OPERATORS = {names!r}\n", encoding="utf-8")
