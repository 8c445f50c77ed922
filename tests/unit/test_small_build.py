"""Builds that leave kernels out: WISP_SLOTS as a session tells it is enough; less is refused; no other is linked."""
# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import wisp
from conftest import CBACKEND, cmake_build
from support import make_model
from wisp_converter import convert

SMALL = ("-DWISP_WERROR=ON", "-DWISP_CORE_OPTIMIZE=-O0", "-DWISP_SCALAR_OPTIMIZE=-O0")
RUN = """
import sys, numpy as np, wisp
x = np.linspace(-2, 2, 15, dtype=np.float32).reshape(3, 5)
try:
    print(wisp.load(sys.argv[1], cpu="scalar").run({"x": x})["y"].tolist())
except wisp.UnsupportedError as error:
    print("refused:", error)
"""


def run_with(library, path) -> str:
    result = subprocess.run([sys.executable, "-c", RUN, path], capture_output=True, text=True,
                            env={**os.environ, "WISP_LIBRARY": str(library)})
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_slots_of_a_model(tmp_path):
    weights = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)
    product, double = (convert(make_model(nodes, {"x": [3, 5]}, ["y"], {"w": weights}), verify=False)
                       for nodes in ([("MatMul", ["x", "w"], ["y"])],
                                     [("MatMul", ["x", "w"], ["p"]), ("Add", ["p", "p"], ["y"])]))
    paths = [tmp_path / "product.wisp", tmp_path / "sum.wisp"]
    for path, data in zip(paths, (product, double)):
        path.write_bytes(data)
    slots = wisp.load(product).kernel_slots()
    assert slots == ["gemm_f32"]
    assert set(wisp.load(double).kernel_slots()) == {"gemm_f32", "add_f32"}
    build = tmp_path / "build"
    cmake_build(CBACKEND, build, *SMALL, f"-DWISP_SLOTS={','.join(slots)}", target="wisp_shared")
    library = build / "libwisp.so"
    expected = wisp.load(product, cpu="scalar").run({"x": np.linspace(-2, 2, 15, dtype=np.float32).reshape(3, 5)})["y"]
    assert np.array_equal(np.float32(json.loads(run_with(library, paths[0]))), expected)
    assert "refused: node" in (text := run_with(library, paths[1])) and "kernel that this build leaves out" in text
