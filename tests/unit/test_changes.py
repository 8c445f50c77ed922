"""How many files a change touches, found by making it in a copy of the tree and running what comes out."""
# SPDX-License-Identifier: Apache-2.0
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, cmake_build, symbols


def changed_files(tree: Path) -> set[str]:
    output = subprocess.run(["git", "status", "--porcelain", "--untracked-files=all"], cwd=tree, capture_output=True,
                            text=True, check=True)
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
                          env={**os.environ, "PYTHONPATH": f"{paths}{os.pathsep}{site}",
                               "WISP_LIBRARY": str(build / "libwisp.so")})


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
                                   "converter/wisp_converter/sources/onnx/activation.py",
                                   "tests/ops/test_activation.py"}
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
    append(tree / "tests" / "ops" / "test_activation.py",
           OPERATOR_TEST.replace("Double", "Cube").replace("double", "cube").replace("[2, 4, 6]", "[1, 8, 27]"))
    assert changed_files(tree) == {"converter/wisp_converter/sources/onnx/activation.py",
                                   "tests/ops/test_activation.py"}
    (build := tmp_path / "build").mkdir()
    shutil.copy(native_build / "libwisp.so", build)
    result = run_in_tree(tree, build, "pytest", "-q", "-k", "test_cube", "tests/ops/test_activation.py")
    assert result.returncode == 0 and "1 passed" in result.stdout, result.stdout + result.stderr


@pytest.mark.slow
def test_a_kernel_is_two_files(tree, tmp_path):
    """A new inner loop is a function and a row in the table;
    checkasm tests it without being told, so a wrong one fails."""
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
    """A new inner loop of a known form: its name, its scalar kernel, a row of scalar's table, a test.
    Without the test checkasm fails."""
    source, checkasm = tree / "cbackend" / "src", tree / "tests" / "checkasm" / "eltwise.c"
    append(source / "kernels.def", "KERNEL(trial_s8, wisp_lookup_s8_fn)\n")
    prototype = "void wisp_trial_s8_scalar(const int8_t *table, const int8_t *x, int8_t *y, size_t n)"
    append(source / "arch" / "scalar" / "eltwise.c",
           f"\n{prototype};\n{prototype} {{\n"
           "    for (size_t i = 0; i < n; i++) y[i] = (int8_t)(table[x[i] + 128] / 2);\n}\n")
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
                                     "SLOT(lookup_s8, check_lookup, bench_lookup), "
                                     "SLOT(trial_s8, check_trial, bench_lookup),"))
    assert changed_files(tree) == {"cbackend/src/kernels.def", "cbackend/src/arch/scalar/eltwise.c",
                                   "cbackend/src/arch/scalar/scalar.c", "tests/checkasm/eltwise.c"}
    cmake_build(tree / "cbackend", build, target="checkasm")
    result = subprocess.run([build / "checkasm"], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


LAYOUT_TEST = """
import numpy as np
from wisp import _library, file
from wisp_converter.target import format as fmt
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.opcodes import layouts
from wisp_converter.target.plan import plan_memory

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
    return subprocess.run([sys.executable, "-m", "wisp", "ops", "--json"], capture_output=True, text=True,
                          check=True).stdout
