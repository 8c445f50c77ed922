"""The C library as its users build it: found by CMake or pkg-config, as a part of their build, from its sources."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import wisp
from conftest import CBACKEND, ROOT, cmake_build, emulate
from wisp._library import instruction_sets, lib

# C and C++: user MODEL CPU_MASK < INPUT. Prints the versions of header and library, the kernels and the first output.
USER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wisp.h>

static char *take(size_t size) {
    char *p = (char *)malloc(size + WISP_ALIGNMENT);
    return p + (WISP_ALIGNMENT - (size_t)p % WISP_ALIGNMENT);
}

int main(int argc, char **argv) {
    wisp_options options;
    wisp_error error;
    wisp_model model;
    wisp_session *session;
    wisp_tensor_info info;
    wisp_node_info node;
    char *file = take(1 << 20), *memory, *arena;
    FILE *stream = fopen(argc > 1 ? argv[1] : "", "rb");
    if (!stream || argc != 3) return 2;
    memset(&options, 0, sizeof options);
    options.cpu_mask = (uint32_t)strtoul(argv[2], NULL, 10);
    if (wisp_open(&model, file, fread(file, 1, 1 << 20, stream), &error)) return puts(error.message), 1;
    memory = take((size_t)wisp_session_size(&model));
    if (wisp_prepare(&model, &options, memory, (size_t)wisp_session_size(&model), &session, &error))
        return puts(error.message), 1;
    arena = take((size_t)wisp_arena_size(session));
    if (wisp_bind(session, arena, (size_t)wisp_arena_size(session), &error)) return puts(error.message), 1;
    wisp_session_input_info(session, 0, &info);
    if (fread(wisp_input_data(session, 0), 1, (size_t)info.size, stdin) != info.size) return 1;
    if (wisp_run(session, &error)) return puts(error.message), 1;
    printf("%d.%d.%d %s\n", WISP_VERSION_MAJOR, WISP_VERSION_MINOR, WISP_VERSION_PATCH, wisp_version());
    for (uint32_t i = 0; !wisp_session_node_info(session, i, &node); i++) printf("%s ", node.kernel);
    wisp_session_output_info(session, 0, &info);
    puts("");
    for (uint32_t i = 0; i < info.size / 4; i++) printf("%.9g ", ((const float *)wisp_output_data(session, 0))[i]);
    return 0;
}
"""
LANGUAGES = {"c": ("C", "cc"), "cpp": ("CXX", "c++")}


def run(*command, **options) -> str:
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert result.returncode == 0, f"{command}\n{result.stdout[-3000:]}{result.stderr[-3000:]}"
    return result.stdout


class User:
    """A user's folder: their program in both languages, a model and an input."""

    def __init__(self, folder: Path, data: bytes, x: np.ndarray):
        self.folder, self.x = folder, x
        for language in LANGUAGES:
            (folder / f"user.{language}").write_text(USER)
        (folder / "m.wisp").write_bytes(data)
        self.expected = wisp.load(data, cpu="scalar").run(x)["y"]

    def build(self, language: str, find: str, target: str, *options) -> Path:
        """With CMake, the library had by the lines of `find`."""
        (self.folder / "CMakeLists.txt").write_text(
            f"cmake_minimum_required(VERSION 3.18)\nproject(user LANGUAGES {LANGUAGES[language][0]})\n{find}\n"
            f"add_executable(user user.{language})\ntarget_link_libraries(user PRIVATE {target})\n"
            "install(TARGETS user DESTINATION bin)\n")
        cmake_build(self.folder, self.folder / "build", "-DCMAKE_BUILD_TYPE=Release", *options)
        return self.folder / "build" / "user"

    def check(self, output: str) -> list[str]:
        """That an int8 model gave the bits it always does; the kernels that it ran."""
        versions, kernels, values = output.splitlines()
        assert versions.split() == [wisp.__version__] * 2
        assert np.array_equal(np.float32(values.split()), self.expected.ravel())
        return kernels.split()

    def run(self, program: Path, mask: int = 0, **environment: str) -> list[str]:
        environment = {**os.environ, **environment}
        return self.check(run(program, self.folder / "m.wisp", mask, stdin=self.open(), env=environment))

    def open(self):
        (self.folder / "x.f32").write_bytes(self.x.tobytes())
        return open(self.folder / "x.f32", "rb")


@pytest.fixture
def user(tmp_path, small_files, x8) -> User:
    return User(tmp_path, small_files["int8"], x8)


@pytest.fixture(scope="module")
def installed(native_build, tmp_path_factory) -> Path:
    """A tree that was installed and then moved."""
    folder = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", native_build, "--prefix", folder / "first")
    return (folder / "first").rename(folder / "moved")


def library_folder(installed: Path) -> Path:
    (found,) = installed.rglob("libwisp.so")
    return found.parent


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("target", ["wisp::wisp", "wisp::static"])
def test_find_package(user, installed, language, target):
    major_minor = ".".join(wisp.__version__.split(".")[:2])
    find = f"find_package(wisp {major_minor} REQUIRED)"
    user.run(user.build(language, find, target, f"-DCMAKE_PREFIX_PATH={installed}"))


def test_find_package_refuses_other_versions(user, installed):
    (user.folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(user LANGUAGES C)\nfind_package(wisp 99.1 REQUIRED)\n")
    command = ["cmake", "-S", user.folder, "-B", user.folder / "build", f"-DCMAKE_PREFIX_PATH={installed}"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode and f"version: {wisp.__version__}" in result.stderr


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_pkg_config(user, installed, language, static):
    if not shutil.which("pkg-config"):
        pytest.skip("needs pkg-config")
    folder = library_folder(installed)
    environment = {**os.environ, "PKG_CONFIG_PATH": str(folder / "pkgconfig")}
    assert run("pkg-config", "--modversion", "wisp", env=environment).strip() == wisp.__version__
    program, static_words = user.folder / "user", ["--static"] if static else []
    words = run("pkg-config", "--cflags", "--libs", *static_words, "wisp", env=environment).split()
    compiler, source = LANGUAGES[language][1], user.folder / f"user.{language}"
    run(compiler, *(["-static"] if static else []), source, *words, "-o", program)
    user.run(program, **({} if static else {"LD_LIBRARY_PATH": str(folder)}))


def test_soname(user, installed, tmp_path):
    """A program asks for the minor version it was linked with, not for the link that compilers follow."""
    folder = library_folder(installed)
    major, minor, patch = wisp.__version__.split(".")
    assert os.readlink(folder / "libwisp.so") == f"libwisp.so.{major}.{minor}"
    assert os.readlink(folder / f"libwisp.so.{major}.{minor}") == f"libwisp.so.{major}.{minor}.{patch}"
    run("cc", user.folder / "user.c", "-I", installed / "include", "-L", folder, "-lwisp", "-o", user.folder / "user")
    (only := tmp_path / "only").mkdir()
    shutil.copy(folder / f"libwisp.so.{major}.{minor}", only)
    user.run(user.folder / "user", LD_LIBRARY_PATH=str(only))


@pytest.mark.slow
def test_fetch_content(user):
    """FetchContent and add_subdirectory under it; a user's installation is not ours to add to."""
    lines = (f"include(FetchContent)\nFetchContent_Declare(wisp SOURCE_DIR {ROOT} SOURCE_SUBDIR cbackend)\n"
             "FetchContent_MakeAvailable(wisp)")
    user.run(user.build("c", lines, "wisp::static", "-DWISP_CORE_OPTIMIZE=-O0"))
    run("cmake", "--install", user.folder / "build", "--prefix", user.folder / "usr")
    assert [p.name for p in (user.folder / "usr").rglob("*") if p.is_file()] == ["user"]


# ---- zeroed options mean the best kernels


def test_zeroed_options(user, installed):
    program = user.build("c", "find_package(wisp REQUIRED)", "wisp::wisp", f"-DCMAKE_PREFIX_PATH={installed}")
    best, scalar = user.run(program), user.run(program, lib.WISP_CPU_SCALAR)
    assert all(name == "portable" or name.endswith("_scalar") for name in scalar)
    assert best == user.run(program, lib.wisp_cpu_flags()) == user.run(program, 2**32 - 1)
    assert (best != scalar) == (lib.wisp_cpu_flags() != lib.WISP_CPU_SCALAR), "this machine has more than portable C"
    lacked = next(bit for bit in range(len(instruction_sets())) if not lib.wisp_cpu_flags() >> bit & 1)
    assert user.run(program, 1 << lacked) == scalar, "what the CPU lacks is never used"
    assert instruction_sets()[0] == "scalar" and lib.wisp_cpu_flags() & lib.WISP_CPU_SCALAR == 1


# ---- from the sources, without CMake


def build_from_list(compiler: str, build: Path, user: User) -> Path:
    """What docs/guides/c.md describes: every group of sources.json with its flags, by the compiler alone."""
    listed = json.loads((build / "sources.json").read_text())
    common = [f"-I{CBACKEND / folder}" for folder in listed["include_folders"]]
    common += [f"-D{definition}" for definition in listed["definitions"]]
    jobs, objects = [], []
    for group in listed["groups"]:
        for source in group["sources"]:
            objects.append(build / (source.replace("/", "_") + ".o"))
            jobs.append([compiler, *group["flags"], *common, "-c", CBACKEND / source, "-o", objects[-1]])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: run(*job), jobs))
    libraries = [f"-l{name}" for name in listed["libraries"]]
    run(compiler, *common, user.folder / "user.c", *objects, *libraries, "-o", user.folder / "user")
    return user.folder / "user"


@pytest.mark.slow
def test_list_of_sources(user, tmp_path, native_build):
    """The same kernels as in CMake's build: those of this machine."""
    run("cmake", "-S", CBACKEND, "-B", tmp_path / "list", "-DWISP_WERROR=ON")
    program = build_from_list("cc", tmp_path / "list", user)
    sources = user.folder / "user.c", native_build / "libwisp.a"
    run("cc", "-I", CBACKEND / "include", *sources, "-lm", "-pthread", "-o", tmp_path / "other")
    assert user.run(program) == user.run(tmp_path / "other")


@pytest.mark.slow
def test_list_of_sources_for_another_processor(user, tmp_path):
    if not shutil.which("aarch64-linux-gnu-gcc"):
        pytest.skip("needs aarch64-linux-gnu-gcc")
    run("cmake", "-S", CBACKEND, "-B", tmp_path / "list", "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64", "-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc")
    program = build_from_list("aarch64-linux-gnu-gcc", tmp_path / "list", user)
    output = emulate(program, user.folder / "m.wisp", 0, stdin=user.open()).stdout.decode()
    assert any(kernel.endswith("_neon") for kernel in user.check(output))


# ---- the examples


@pytest.mark.parametrize("example", sorted(p.name for p in (CBACKEND / "examples").glob("*.c")))
def test_the_line_that_compiles_an_example(example, native_build, tmp_path, user):
    (line,) = re.findall(r"^ \* (cc .*?)(?: \*/)?$", (CBACKEND / "examples" / example).read_text(), re.MULTILINE)
    (tmp_path / "cbackend").symlink_to(CBACKEND)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "c").symlink_to(native_build)
    run("sh", "-c", line, cwd=tmp_path)
    program = tmp_path / Path(example).stem
    arguments = {"run.c": ["1", "all"], "classify.c": []}[example]
    command = [program, tmp_path / "m.wisp", *arguments]
    output = subprocess.run(command, stdin=user.open(), capture_output=True, check=True).stdout
    expected = user.expected.tobytes() if example == "run.c" else f"class {user.expected.argmax()}, ".encode()
    assert output.startswith(expected)
