"""The rules of the house: who may import whom, how kernels are called, how many files a change touches."""
# SPDX-License-Identifier: Apache-2.0
import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CBACKEND, ROOT, cmake_build

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
    paths = {".".join(p.relative_to(folder).with_suffix("").parts): p for p in (folder / "wisp_converter").rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in paths.items()}


def converter_imports() -> dict[str, set[str]]:
    """For each module of the converter those it imports, at import or later. A package that imports all its modules has them all."""
    modules = converter_modules()
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        text = path.read_text(encoding="utf-8")
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        targets = {m for m in modules if m.rpartition(".")[0] == name} if "iter_modules(__path__)" in text else set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], *([node.module] if node.module else [])])
                inside = {f"{base}.{a.name}" for a in node.names}
                targets |= inside & set(modules)
                if inside - set(modules):
                    targets.add(base)
        found[name] = targets
    return found


def test_no_import_cycle_in_the_converter():
    found, done = converter_imports(), set()
    assert {"wisp_converter.passes", "wisp_converter.plan"} <= found["wisp_converter.convert"]

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
    too_long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 500}
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
        for name in re.findall(r"\b(wisp_\w+)\(const [^;{]*\)\s*\{", text) + re.findall(r"^void (wisp_\w+)\([^;{]*\)\s*\{", text, re.MULTILINE):
            assert re.fullmatch(rf"wisp_\w+_({dtypes})_{isa}|wisp_kernels_{isa}", name), f"{path.name}: {name}"


def test_one_token_for_each_instruction_set():
    """Folder, CMake call, detection, table: all of them know the same sets."""
    assert {"scalar", "avx2", "avx512vnni", "neon"} <= set(ISAS)
    cmake = "".join(path.read_text() for path in CBACKEND.rglob("CMakeLists.txt"))  # Hexagon is another processor: a build of its own
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
        strings = {n.value for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Constant)}
        assert not names & {s for s in strings if isinstance(s, str)}, path.name


def test_no_generated_or_unfinished_code():
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    found = [str(p.relative_to(ROOT)) for p in SOURCES if words.search(p.read_text(encoding="utf-8"))]
    assert not found


# ---- the built library


def symbols(library: Path, *options: str) -> set[str]:
    if not shutil.which("nm"):
        pytest.skip("needs nm (binutils)")
    output = subprocess.run(["nm", *options, library], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1].split("@")[0] for line in output.splitlines() if line and not line.endswith(":")}


def test_core_calls_neither_malloc_nor_stdio(native_build):
    needed = symbols(native_build / "libwisp.a", "--undefined-only")
    forbidden = {"malloc", "calloc", "realloc", "free", "posix_memalign", "aligned_alloc", "strdup", "alloca", "printf", "fprintf",
                 "sprintf", "snprintf", "vsnprintf", "puts", "putchar", "fopen", "fread", "fwrite", "fclose", "open", "read", "write",
                 "stdout", "stderr", "exit", "abort", "getenv", "setlocale", "time", "rand"}
    assert not needed & forbidden


def test_core_uses_a_short_list_of_libc(native_build):
    """memory functions, the float maths library; for the optional pool and clock the threads of POSIX."""
    own = symbols(native_build / "libwisp.a", "--defined-only")
    needed = {s for s in symbols(native_build / "libwisp.a", "--undefined-only") - own if not s.startswith("_")}
    memory = {"memcpy", "memset", "memmove", "memcmp", "strlen"}
    maths = re.compile(r"(a?(cos|sin|tan)h?|exp2?|expm1|erf|log(1p|2)?|pow|sqrt|fabs|floor|ceil|r?int|nearbyint|fmod|round|trunc|atan2|"
                       r"fmax|fmin|ldexp|scalbn|remainder|copysign)f?")
    threads = re.compile(r"pthread_\w+|sched_yield|clock_gettime")
    extra = {s for s in needed if s not in memory and not maths.fullmatch(s) and not threads.fullmatch(s)}
    assert not extra


def test_library_has_no_writable_data(native_build):
    """No globals: nothing in .data or .bss, in any object of the core (data.rel.ro holds tables of constant pointers)."""
    if not shutil.which("nm"):
        pytest.skip("needs nm (binutils)")
    output = subprocess.run(["nm", "-f", "sysv", native_build / "libwisp.a"], capture_output=True, text=True, check=True).stdout
    writable = [line for line in output.splitlines() if re.search(r"\|\s*\.(data(?!\.rel\.ro)|bss)\S*\s*$", line)]
    assert not writable


def test_shared_library_exports_the_header_only(native_build):
    header = (CBACKEND / "include" / "wisp.h").read_text()
    declared = set(re.findall(r"\b(wisp_\w+)\(", re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)))
    exported = {s for s in symbols(native_build / "libwisp.so", "-D", "--defined-only") if not s.startswith("_")}
    assert exported == declared


# ---- how many files a change touches, by making the change


def changed_files(tree: Path) -> set[str]:
    output = subprocess.run(["git", "status", "--porcelain", "--untracked-files=all"], cwd=tree, capture_output=True, text=True, check=True)
    return {line[3:] for line in output.stdout.splitlines()}


@pytest.fixture
def tree(tmp_path) -> Path:
    """A copy of the sources with its own history, in which the trial makes its change."""
    copy = tmp_path / "tree"
    copy.mkdir()
    for name in ("cbackend", "converter", "engine", "tests", "CMakeLists.txt", "pyproject.toml", ".gitignore"):
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "build")
        shutil.copytree(source, copy / name, ignore=ignore) if source.is_dir() else shutil.copy(source, copy / name)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start", "--no-verify"]):
        subprocess.run([*git, *command], cwd=copy, check=True)
    return copy


def run_in_tree(tree: Path, build: Path, *command: str) -> subprocess.CompletedProcess:
    """Run Python on the tree's own packages and the library built from it."""
    binding = build / "binding"
    binding.mkdir(exist_ok=True)
    subprocess.run([sys.executable, tree / "engine" / "emit_cffi.py", tree / "cbackend", binding], check=True)
    for module in binding.glob("*.py"):
        shutil.copy(module, tree / "engine" / "wisp")
    paths = f"{tree / 'engine'}{os.pathsep}{tree / 'converter'}"
    # -S: an editable install of this project must not win over the tree; its dependencies come back through the path
    site = os.pathsep.join(p for p in sys.path if p.endswith("site-packages"))
    return subprocess.run([sys.executable, "-S", "-B", "-m", *command], cwd=tree, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": f"{paths}{os.pathsep}{site}", "WISP_LIBRARY": str(build / "libwisp.so")})


FAST_TO_BUILD = ("-DWISP_WERROR=ON", "-DWISP_CORE_OPTIMIZE=-O0", "-DWISP_SCALAR_OPTIMIZE=-O0")

OPERATOR_C = """

/* y = 2 x */
static int plan_double(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    if (x->dtype != WISP_F32) return wisp_call_fail(call, WISP_UNSUPPORTED, "x must be f32");
    wisp_set_work(call, (int64_t)x->count, 4096, 1);
    return wisp_set_output(call, 0, WISP_F32, x->rank, x->dims);
}

static void range_double(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const float *x = wisp_input(call, 0)->data;
    float *y = wisp_output(call, 0)->data;
    (void)thread;
    for (int64_t i = begin; i < end; i++) y[i] = 2 * x[i];
}

const wisp_operator wisp_op_Double = {.plan = plan_double, .range = range_double};
"""

OPERATOR_PYTHON = """

@importer("Double")
def Double(x: Emit) -> None:
    x.add("Double", [x.inputs[0]], x.out)
"""

OPERATOR_TEST = '''

def test_double():
    import numpy as np
    import onnx
    import wisp
    from onnx import TensorProto, helper
    from wisp_converter import convert

    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [3]) for n in "xy")
    model = helper.make_model(helper.make_graph([helper.make_node("Double", ["x"], ["y"])], "g", [x], [y]))
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [3]))
    got = wisp.load(convert(model, verify=False)).run(np.float32([1, 2, 3]))["y"]
    assert list(got) == [2, 4, 6]
'''


def append(path: Path, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


def add_to_ops_def(tree: Path, line: str) -> None:
    ops_def = tree / "cbackend" / "src" / "ops.def"
    text = ops_def.read_text()
    relu = next(m for m in re.finditer(r"^OP\(\d+, Relu,.*\n", text, re.MULTILINE))
    ops_def.write_text(text[: relu.end()] + line + text[relu.end() :])


@pytest.mark.slow
def test_an_operator_is_four_files(tree, tmp_path):
    """Five with rules of its own: they are in the converter's ops/<family>.py."""
    add_to_ops_def(tree, "OP(9999, Double, 0, NONE)\n")
    append(tree / "cbackend" / "src" / "ops" / "activation.c", OPERATOR_C)
    append(tree / "converter" / "wisp_converter" / "sources" / "onnx" / "activation.py", OPERATOR_PYTHON)
    append(tree / "tests" / "ops" / "test_activation.py", OPERATOR_TEST)
    assert changed_files(tree) == {"cbackend/src/ops.def", "cbackend/src/ops/activation.c",
                                   "converter/wisp_converter/sources/onnx/activation.py", "tests/ops/test_activation.py"}
    build = tmp_path / "build"
    cmake_build(tree / "cbackend", build, *FAST_TO_BUILD, target="wisp_shared")
    result = run_in_tree(tree, build, "pytest", "-q", "-k", "test_double", "tests/ops/test_activation.py")
    assert result.returncode == 0 and "1 passed" in result.stdout, result.stdout + result.stderr


UNARY_TEST = '''

def test_halve():
    w, x = np.ones((1, 1, 1, 1), np.float32), rng.standard_normal((1, 1, 4, 5)).astype(np.float32)
    nodes = [("Conv", ["x", "w"], ["c"], {}), ("Halve", ["c"], ["y"], {})]
    model = make_model(nodes, {"x": x}, {"y": x.shape}, {"w": w})
    for options, op, error in (({}, "Halve", 0), ({"quantize": "int8", "calibration": [{"x": x}]}, "Lookup", 0.05)):
        data = convert(model, verify=False, **options)
        assert opcodes()[op].code in {o.code for o in read(data).operators}
        np.testing.assert_allclose(wisp.load(data).run({"x": x})["y"], x / 2, rtol=0, atol=error)
'''


@pytest.mark.slow
def test_a_unary_function_is_three_files(tree, tmp_path):
    """A line in ops.def, one in C, its test: it is imported by its name, and its int8 table comes from the runtime."""
    add_to_ops_def(tree, "OP(9999, Halve, UNARY | IN_PLACE, NONE)\n")
    append(tree / "cbackend" / "src" / "ops" / "activation.c", "\nUNARY(Halve, 0.5f * x)\n")
    append(tree / "tests" / "ops" / "test_activation.py", UNARY_TEST)
    assert changed_files(tree) == {"cbackend/src/ops.def", "cbackend/src/ops/activation.c",
                                   "tests/ops/test_activation.py"}
    build = tmp_path / "build"
    cmake_build(tree / "cbackend", build, *FAST_TO_BUILD, target="wisp_shared")
    result = run_in_tree(tree, build, "pytest", "-q", "-k", "test_halve", "tests/ops/test_activation.py")
    assert result.returncode == 0 and "1 passed" in result.stdout, result.stdout + result.stderr


SOURCE_OPERATOR_PYTHON = """

@importer("Cube")
def Cube(emit: Emit) -> None:
    x = emit.inputs[0]
    emit.add("Mul", [emit.add("Mul", [x, x], shape=x.shape), x], emit.out)
"""


def test_a_source_operator_made_of_others_is_two_files(tree, tmp_path, native_build):
    append(tree / "converter" / "wisp_converter" / "sources" / "onnx" / "activation.py", SOURCE_OPERATOR_PYTHON)
    append(tree / "tests" / "ops" / "test_activation.py", OPERATOR_TEST.replace("Double", "Cube").replace("double", "cube").replace("[2, 4, 6]", "[1, 8, 27]"))
    assert changed_files(tree) == {"converter/wisp_converter/sources/onnx/activation.py", "tests/ops/test_activation.py"}
    (build := tmp_path / "build").mkdir()
    shutil.copy(native_build / "libwisp.so", build)
    result = run_in_tree(tree, build, "pytest", "-q", "-k", "test_cube", "tests/ops/test_activation.py")
    assert result.returncode == 0 and "1 passed" in result.stdout, result.stdout + result.stderr


@pytest.mark.slow
def test_a_kernel_is_two_files(tree, tmp_path):
    """A new inner loop is a function and a row in the table; checkasm tests it without being told, so a wrong one fails."""
    isa = "neon" if os.uname().machine == "aarch64" else "avx2"
    folder = tree / "cbackend" / "src" / "arch" / isa
    prototype = f"void wisp_trial_s8_{isa}(const int8_t *x, float scale, int32_t zero_point, float *y, size_t n)"
    loop = "for (size_t i = 0; i < n; i++) y[i] = (float)(x[i] - zero_point) * scale;"
    append(folder / "quantize.c", f"\n{prototype};\n{prototype} {{\n    {loop}\n}}\n")
    table = (folder / f"{isa}.c").read_text()
    row = f"    WISP_BRINGS(dequantize_s8, wisp_trial_s8_{isa}),\n"
    others = re.sub(r"^ *WISP_BRINGS\(dequantize_s8,.*\n", "", table, flags=re.MULTILINE)
    start = others.index("const wisp_kernels ")
    (folder / f"{isa}.c").write_text(f"{others[:start]}{prototype};\n\n{others[start:].replace('};', row + '};')}")
    assert changed_files(tree) == {f"cbackend/src/arch/{isa}/{isa}.c", f"cbackend/src/arch/{isa}/quantize.c"}

    build = tmp_path / "build"
    cmake_build(tree / "cbackend", build, *FAST_TO_BUILD, "-DWISP_BUILD_TESTS=ON", target="checkasm")
    assert f"wisp_trial_s8_{isa}" in symbols(build / "libwisp.a", "--defined-only")
    result = subprocess.run([build / "checkasm"], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]

    wrong = (folder / "quantize.c").read_text().replace(loop, loop.replace("* scale", "* scale + 1"))
    (folder / "quantize.c").write_text(wrong)
    cmake_build(tree / "cbackend", build, target="checkasm")
    result = subprocess.run([build / "checkasm"], capture_output=True, text=True, timeout=300)
    if f'"{isa}"' in machine_sets():
        assert result.returncode != 0 and "dequantize_s8" in result.stdout + result.stderr


def test_a_slot_is_four_files(tree, tmp_path):
    """A new inner loop of a known form: its name, its scalar kernel, a row of scalar's table, a test. Without the test checkasm fails."""
    source, checkasm = tree / "cbackend" / "src", tree / "tests" / "checkasm" / "eltwise.c"
    append(source / "kernels.def", "KERNEL(trial_s8, wisp_lookup_s8_fn)\n")
    prototype = "void wisp_trial_s8_scalar(const int8_t *table, const int8_t *x, int8_t *y, size_t n)"
    append(source / "arch" / "scalar" / "eltwise.c",
           f"\n{prototype};\n{prototype} {{\n    for (size_t i = 0; i < n; i++) y[i] = (int8_t)(table[x[i] + 128] / 2);\n}}\n")
    table = source / "arch" / "scalar" / "scalar.c"
    row = re.search(r"^ *WISP_BRINGS\(lookup_s8, wisp_lookup_s8_scalar\),\n", table.read_text(), re.MULTILINE).group()
    text = table.read_text().replace(row, row + row.replace("lookup", "trial"))
    start = text.index("const wisp_kernels ")
    table.write_text(f"{text[:start]}{prototype};\n\n{text[start:]}")
    build = tmp_path / "build"
    cmake_build(tree / "cbackend", build, *FAST_TO_BUILD, "-DWISP_BUILD_TESTS=ON", target="checkasm")
    result = subprocess.run([build / "checkasm"], capture_output=True, text=True, timeout=300)
    assert result.returncode != 0 and "a slot has no test" in result.stdout + result.stderr

    text = checkasm.read_text()
    check = re.search(r"^static void check_lookup\(.*?^\}\n", text, re.MULTILINE | re.DOTALL).group()
    text = text.replace(check, check + "\n" + check.replace("lookup", "trial"))
    checkasm.write_text(text.replace("SLOT(lookup_s8, check_lookup, bench_lookup),",
                                     "SLOT(lookup_s8, check_lookup, bench_lookup), SLOT(trial_s8, check_trial, bench_lookup),"))
    assert changed_files(tree) == {"cbackend/src/kernels.def", "cbackend/src/arch/scalar/eltwise.c", "cbackend/src/arch/scalar/scalar.c",
                                   "tests/checkasm/eltwise.c"}
    cmake_build(tree / "cbackend", build, target="checkasm")
    result = subprocess.run([build / "checkasm"], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


LAYOUT_TEST = """
import numpy as np
from wisp import _library, file
from wisp_converter import format as fmt
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.opcodes import layouts
from wisp_converter.plan import plan_memory

def open_file(stored):
    x, y = (Value(n, np.dtype(np.int8), (3, 5)) for n in "xy")
    packed = constant("c", np.zeros(stored, np.int8))
    packed.layout, packed.dims = layouts()["TRIAL_S8"], (3, 5)
    graph = Graph([x], [y], [Node("Identity", [x, packed], [y], {}, "n")])
    data = fmt.write(graph, plan_memory(graph))
    error, model = _library.ffi.new("wisp_error *"), _library.ffi.new("wisp_model *")
    copy = _library.aligned(len(data))
    copy[:] = np.frombuffer(data, np.uint8)
    status = _library.lib.wisp_open(model, _library.pointer(copy), len(data), error)
    return status, {t.name: t.layout for t in file.read(data).tensors}["c"]

assert open_file(8 * 8) == (0, "trial_s8")  # (3, 5) in blocks of 8 x 4
assert open_file(3 * 5)[0] == _library.lib.WISP_BAD_FILE
"""


def test_a_layout_is_one_line(tree, tmp_path):
    """The runtime checks its size, the converter writes it by name, the reader names it."""
    append(tree / "cbackend" / "src" / "layouts.def", "LAYOUT(6, TRIAL_S8, S8, 1, 2, 8, 4, 1)\n")
    assert changed_files(tree) == {"cbackend/src/layouts.def"}
    build = tmp_path / "build"
    cmake_build(tree / "cbackend", build, *FAST_TO_BUILD, target="wisp_shared")
    (tree / "layout_trial.py").write_text(LAYOUT_TEST)
    result = run_in_tree(tree, build, "layout_trial")
    assert result.returncode == 0, result.stdout + result.stderr


def machine_sets() -> str:
    """The instruction sets this machine can run, as `wisp ops --json` tells them."""
    return subprocess.run([sys.executable, "-m", "wisp", "ops", "--json"], capture_output=True, text=True, check=True).stdout
