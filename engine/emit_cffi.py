"""Writes what the binding knows about the library, read from its headers at build time.

_wisp_cffi.py: the declarations between cffi-begin and cffi-end of wisp.h. _wisp_lists.py: the operators of ops.def
and the layouts of layouts.def.
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


def lists(source: Path) -> dict:
    """OPERATORS {code: name} and LAYOUTS (by code), by the converter's parser: it is there when the package is built,
    not where it runs."""
    parser = runpy.run_path(str(Path(__file__).parent.parent / "converter" / "wisp_converter" / "opcodes.py"))
    opcodes = parser["parse"]((source / "ops.def").read_text(encoding="utf-8"))
    layouts = parser["parse_layouts"]((source / "layouts.def").read_text(encoding="utf-8"))
    names = ("plain", *(name.lower() for name in sorted(layouts, key=layouts.get)))
    return {"OPERATORS": {opcode.code: name for name, opcode in opcodes.items()}, "LAYOUTS": names}


if __name__ == "__main__":
    cbackend, output = map(Path, sys.argv[1:])
    ffi = FFI()
    ffi.cdef(declarations((cbackend / "include" / "wisp.h").read_text(encoding="utf-8")))
    ffi.set_source("wisp._wisp_cffi", None)
    ffi.emit_python_code(str(output / "_wisp_cffi.py"))
    text = "".join(f"{name} = {value!r}\n" for name, value in lists(cbackend / "src").items())
    (output / "_wisp_lists.py").write_text(text, encoding="utf-8")
