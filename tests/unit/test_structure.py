"""The rules of the house: who may import whom, how kernels are called, what the library needs and holds."""
# SPDX-License-Identifier: Apache-2.0
import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CBACKEND, ROOT, symbols

FOLDERS = ("benchmarks", "cbackend", "converter", "engine", "tests", "android_demo", ".ci")
SOURCES = sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*")
                 if p.suffix in (".py", ".c", ".h", ".def") and "__pycache__" not in p.parts)
ISAS = sorted(p.name for p in (CBACKEND / "src" / "arch").iterdir() if p.is_dir())


def imports(path: Path) -> dict[str, bool]:
    """{top-level package: imported when the module is} of a Python file, relative imports left out."""
    found: dict[str, bool] = {}

    def visit(node: ast.AST, at_import: bool) -> None:
        names = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        for name in names:
            found[name.split(".")[0]] = found.get(name.split(".")[0], False) or at_import
        inside = at_import and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


def test_engine_imports_numpy_and_cffi_only():
    """At import time; commands may reach for optional packages when they are called."""
    allowed = {"numpy", "cffi", "wisp", *sys.stdlib_module_names}
    optional = {"PIL", "onnx", "onnxruntime", "wisp_converter"}
    for path in (ROOT / "engine" / "wisp").rglob("*.py"):
        for name, at_import in imports(path).items():
            assert name in allowed or name in optional and not at_import, f"{path.relative_to(ROOT)} imports {name}"
            if name in optional:
                assert "commands" in path.parts or path.name == "image.py", f"{path.relative_to(ROOT)} imports {name}"


def test_converter_never_imports_the_engine():
    """Except runner.py, the one door, for calibration and verification."""
    for path in (ROOT / "converter").rglob("*.py"):
        found = imports(path)
        assert "cffi" not in found, path
        if path.name != "runner.py":
            assert "wisp" not in found, f"{path.relative_to(ROOT)} imports wisp"


def converter_modules() -> dict[str, Path]:
    """The converter's modules by dotted name; a package by its own."""
    folder = ROOT / "converter"
    paths = {".".join(p.relative_to(folder).with_suffix("").parts): p
             for p in (folder / "wisp_converter").rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in paths.items()}


def converter_imports() -> dict[str, set[str]]:
    """For each module of the converter those it imports, at import or later.
    A package that imports all its modules has them all."""
    modules = converter_modules()
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        text = path.read_text(encoding="utf-8")
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        targets = {m for m in modules if m.rpartition(".")[0] == name} if "iter_modules(__path__)" in text else set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1],
                                 *([node.module] if node.module else [])])
                inside = {f"{base}.{a.name}" for a in node.names}
                targets |= inside & set(modules)
                if inside - set(modules):
                    targets.add(base)
        found[name] = targets
    return found


def test_no_import_cycle_in_the_converter():
    found, done = converter_imports(), set()
    assert {"wisp_converter.passes", "wisp_converter.target.plan"} <= found["wisp_converter.convert"]

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"import cycle: {' -> '.join((*path[path.index(name):], name))}"
        if name not in done:
            for target in sorted(found[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(found):
        visit(name, ())


def test_sources_and_operators_do_not_import_each_other():
    for name, targets in converter_imports().items():
        for one, other in (("sources", "ops"), ("ops", "sources")):
            if name.startswith(f"wisp_converter.{one}"):
                wrong = sorted(t for t in targets if t.startswith(f"wisp_converter.{other}"))
                assert not wrong, f"{name} imports {wrong[0]}"


def test_an_importer_is_registered_once():
    from wisp_converter.ops import rules
    from wisp_converter.sources.onnx import registry

    with pytest.raises(ValueError, match="ai.onnx.Relu has two importers"):
        registry.importer("Relu")(lambda emit: None)
    with pytest.raises(ValueError, match="Conv has two pack rules"):
        rules.pack("Conv")(lambda graph, node: None)


def test_file_lengths():
    too_long = {str(p.relative_to(ROOT)): n
                for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 500}
    assert not too_long, "hard limit is 500 lines"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_header_of_a_file(path):
    """One sentence, then the licence."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines and path.name == "__init__.py":
        return
    head = "\n".join(lines[:25])
    assert "SPDX-License-Identifier: Apache-2.0" in head
    assert lines[0].startswith(("/*", '"""', "#!")), "a file opens with one sentence that says what it is"


@pytest.mark.parametrize("isa", ISAS)
def test_kernel_names(isa):
    """wisp_<what>_<dtype>_<isa>, and nothing else leaves the folder but wisp_kernels_<isa>."""
    dtypes = "s8|u8|s16|s32|f16|f32"
    for path in (CBACKEND / "src" / "arch" / isa).glob("*.[ch]"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        defined = re.findall(r"\b(wisp_\w+)\(const [^;{]*\)\s*\{", text)
        for name in defined + re.findall(r"^void (wisp_\w+)\([^;{]*\)\s*\{", text, re.MULTILINE):
            assert re.fullmatch(rf"wisp_\w+_({dtypes})_{isa}|wisp_kernels_{isa}", name), f"{path.name}: {name}"


def test_one_token_for_each_instruction_set():
    """Folder, CMake call, detection, table: all of them know the same sets."""
    assert {"scalar", "avx2", "avx512vnni", "neon"} <= set(ISAS)
    # Hexagon is another processor: a build of its own
    cmake = "".join(path.read_text() for path in CBACKEND.rglob("CMakeLists.txt"))
    kernels = (CBACKEND / "src" / "kernels.c").read_text()
    cpu = (CBACKEND / "src" / "cpu.c").read_text()
    for isa in ISAS:
        assert re.search(rf"wisp_isa\({isa}\b|arch/{isa}/", cmake), f"no CMakeLists.txt builds {isa}"
        assert f"&wisp_kernels_{isa}}}" in kernels
        assert isa == "scalar" or f'"{isa}"' in cpu


def c_includes() -> dict[Path, set[Path]]:
    """{C file: the files of this project it includes}."""
    found = {}
    for path in (CBACKEND / "src").rglob("*.[ch]"):
        names = re.findall(r'^#include "([^"]+)"', path.read_text(), re.MULTILINE)
        places = ([path.parent / n, CBACKEND / "src" / n, CBACKEND / "include" / n] for n in names)
        found[path] = {p.resolve() for options in places for p in options if p.exists()}
    return found


def test_no_include_cycle():
    graph, done = c_includes(), set()

    def visit(path: Path, trail: tuple[Path, ...]) -> None:
        assert path not in trail, " includes ".join(p.name for p in (*trail[trail.index(path):], path))
        if path not in done:
            for other in graph.get(path, ()):
                visit(other, (*trail, path))
            done.add(path)

    for path in graph:
        visit(path, ())


def operator_names() -> set[str]:
    text = (CBACKEND / "src" / "ops.def").read_text()
    return set(re.findall(r"^OP\(\d+, (\w+),", text, re.MULTILINE))


def test_codes_of_operators_are_their_own():
    codes = re.findall(r"^OP\((\d+),", (CBACKEND / "src" / "ops.def").read_text(), re.MULTILINE)
    assert len(codes) == len(set(codes)) == len(operator_names())


def test_the_core_knows_no_operator():
    """Sessions, plans, files, kernels: none of them has a name or a code of one operator. Traits say what they need."""
    names = operator_names()
    core = [p for p in (CBACKEND / "src").rglob("*.[ch]") if "ops" not in p.relative_to(CBACKEND / "src").parts]
    for path in core:
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        used = set(re.findall(r"\bOP_(\w+)\b|\bwisp_op_(\w+)\b|\bwisp_(\w+)_params\b|\"(\w+)\"", text))
        assert not names & {n for match in used for n in match}, path.name


def test_the_converter_names_operators_in_few_places():
    """Sources, the families' rules and passes; planner, writer, quantizer and verifier ask for traits."""
    names = operator_names()
    for path in (ROOT / "converter" / "wisp_converter").rglob("*.py"):
        if {"sources", "ops", "passes"} & set(path.relative_to(ROOT / "converter").parts) or path.name == "equalize.py":
            continue  # equalize.py is a pass that needs observations
        strings = {n.value
                   for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Constant)}
        assert not names & {s for s in strings if isinstance(s, str)}, path.name


def test_no_generated_or_unfinished_code():
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    found = [str(p.relative_to(ROOT)) for p in SOURCES if words.search(p.read_text(encoding="utf-8"))]
    assert not found


# ---- the built library


def test_core_calls_neither_malloc_nor_stdio(native_build):
    needed = symbols(native_build / "libwisp.a", "--undefined-only")
    forbidden = {"malloc", "calloc", "realloc", "free", "posix_memalign", "aligned_alloc", "strdup", "alloca",
                 "printf", "fprintf", "sprintf", "snprintf", "vsnprintf", "puts", "putchar", "fopen", "fread", "fwrite",
                 "fclose", "open", "read", "write", "stdout", "stderr", "exit", "abort", "getenv", "setlocale",
                 "time", "rand"}
    assert not needed & forbidden


def test_core_uses_a_short_list_of_libc(native_build):
    """memory functions, the float maths library; for the optional pool and clock the threads of POSIX."""
    own = symbols(native_build / "libwisp.a", "--defined-only")
    needed = {s for s in symbols(native_build / "libwisp.a", "--undefined-only") - own if not s.startswith("_")}
    memory = {"memcpy", "memset", "memmove", "memcmp", "strlen"}
    maths = re.compile(r"(a?(cos|sin|tan)h?|exp2?|expm1|erf|log(1p|2)?|pow|sqrt|fabs|floor|ceil|r?int|nearbyint|fmod|"
                       r"round|trunc|atan2|fmax|fmin|ldexp|scalbn|remainder|copysign)f?")
    threads = re.compile(r"pthread_\w+|sched_yield|clock_gettime")
    extra = {s for s in needed if s not in memory and not maths.fullmatch(s) and not threads.fullmatch(s)}
    assert not extra


def test_library_has_no_writable_data(native_build):
    """No globals: nothing in .data or .bss,
    in any object of the core (data.rel.ro holds tables of constant pointers)."""
    if not shutil.which("nm"):
        pytest.skip("needs nm (binutils)")
    output = subprocess.run(["nm", "-f", "sysv", native_build / "libwisp.a"], capture_output=True, text=True,
                            check=True).stdout
    writable = [line for line in output.splitlines() if re.search(r"\|\s*\.(data(?!\.rel\.ro)|bss)\S*\s*$", line)]
    assert not writable


def test_shared_library_exports_the_header_only(native_build):
    header = (CBACKEND / "include" / "wisp.h").read_text()
    declared = set(re.findall(r"\b(wisp_\w+)\(", re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)))
    exported = {s for s in symbols(native_build / "libwisp.so", "-D", "--defined-only") if not s.startswith("_")}
    assert exported == declared
