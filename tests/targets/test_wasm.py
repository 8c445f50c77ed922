"""WebAssembly: the module and wisp.js in node, the demo page in a browser."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools
import hashlib
import html
import http.server
import json
import os
import re
import select
import shlex
import shutil
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import CBACKEND, ROOT, build_once, cmake_build, onnx_model

WASM = ROOT / "tests" / "targets" / "wasm"
TOOLCHAINS = CBACKEND / "cmake"


def need(*programs: str) -> None:
    missing = [p for p in programs if not (Path(p).exists() if "/" in p else shutil.which(p))]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture(scope="session")
def module_builds(tmp_path_factory) -> dict[str, Path]:
    """Folders with wisp.wasm and wisp.js: with SIMD, and without."""
    need("clang-19", "wasm-ld-19", "/usr/include/wasm32-wasi")
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={TOOLCHAINS / 'wasm.cmake'}"

    def build(simd: str):
        return lambda folder: cmake_build(CBACKEND, folder, toolchain, "-DWISP_WERROR=ON", f"-DWISP_WASM_SIMD={simd}")

    return {"simd128": build_once(tmp_path_factory, "wasm_simd128", build("ON")),
            "scalar": build_once(tmp_path_factory, "wasm_scalar", build("OFF"))}


def node(*arguments) -> str:
    need("node")
    result = subprocess.run(["node", "--no-warnings", *map(str, arguments)], capture_output=True,
                            text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


# ---- the module in node


def test_wrapper(module_builds, small_files, x8, tmp_path):
    import wisp

    for name, data in small_files.items():
        (tmp_path / f"{name}.wisp").write_bytes(data)
    x8.tofile(tmp_path / "x.bin")
    wisp.load(small_files["float"]).run(x8)["y"].tofile(tmp_path / "y.bin")
    for folder in module_builds.values():
        assert node(WASM / "wrapper.mjs", folder / "wisp.js", tmp_path) == "ok"


def python_digest(data: bytes, gain: float) -> str:
    """As tests/targets/digest.c, with the portable kernels of this machine."""
    import wisp

    model, inputs, seed = wisp.load(data, cpu="scalar"), {}, 1
    for info in model.inputs:
        values = np.empty(int(np.prod(info.shape)), np.float32)
        for i in range(values.size):
            seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
            values[i] = (seed >> 24) - 128
        inputs[info.name] = (np.float32(gain) * values * np.float32(0.015625)).reshape(info.shape)
    outputs = model.run(inputs)
    return hashlib.sha256(b"".join(outputs[o.name].tobytes() for o in model.outputs)).hexdigest()


def test_same_integers(module_builds, small_files, tmp_path):
    from wisp_converter import convert

    files = {"small": small_files["int8"],
             "classifier": convert(classifier(), quantize="int8", calibration=pictures(4), verify=False)}
    for name, data in files.items():
        path = tmp_path / f"{name}.wisp"
        path.write_bytes(data)
        expected = python_digest(data, 1.0)
        for build, sets in (("simd128", "all"), ("simd128", "scalar"), ("scalar", "all")):
            folder = module_builds[build]
            got = node(WASM / "digest.mjs", folder / "wisp.js", folder / "wisp.wasm", path, 1, sets)
            assert got == expected, f"{name}: {build} module, {sets} kernels"


def test_module_size_and_imports(module_builds):
    """The module asks the browser for nothing, and stays small enough for a page."""
    for build, folder in module_builds.items():
        script = ("const m = new WebAssembly.Module(require('fs').readFileSync(process.argv[1]));"
                  "console.log(WebAssembly.Module.imports(m).length)")
        assert node("-e", script, folder / "wisp.wasm") == "0"
        assert (folder / "wisp.wasm").stat().st_size < 400_000, build


# ---- the page

PREPROCESSING = {"size": [48, 40], "crop": 0.875, "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}


def classifier():
    """x [1, 3, 48, 40] -> y [1, 12] that depends on where which colour is."""
    from onnx import helper

    rng = np.random.default_rng(9)
    constants = {"w0": rng.standard_normal((24, 3, 3, 3)).astype(np.float32) / 5,
                 "b0": rng.standard_normal(24).astype(np.float32),
                 "w1": rng.standard_normal((24, 1, 3, 3)).astype(np.float32) / 3,
                 "w2": rng.standard_normal((24 * 6 * 5, 12)).astype(np.float32) / 20}
    nodes = [helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], pads=[1] * 4, strides=[2, 2]),
             helper.make_node("Relu", ["c0"], ["r0"]),
             helper.make_node("Conv", ["r0", "w1"], ["c1"], pads=[1] * 4, group=24, strides=[2, 2]),
             helper.make_node("MaxPool", ["c1"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
             helper.make_node("Flatten", ["m"], ["f"]), helper.make_node("MatMul", ["f", "w2"], ["y"])]
    return onnx_model(nodes, {"x": (np.float32, [1, 3, 48, 40])}, {"y": (np.float32, [1, 12])}, constants)


def pictures(count: int) -> list[dict]:
    rng = np.random.default_rng(10)
    return [{"x": rng.standard_normal((1, 3, 48, 40)).astype(np.float32)} for _ in range(count)]


def draw(path: Path, width: int, height: int, seed: int) -> None:
    """Gradients with noise: every step of the resize matters."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    values = np.stack([128 + 127 * np.sin(rows / rng.uniform(3, 30) + columns / rng.uniform(3, 30) + c)
                       for c in range(3)], -1)
    Image.fromarray(np.clip(values + rng.normal(0, 30, values.shape), 0, 255).astype(np.uint8)).save(path)


class Browser:
    """Headless Chromium on a pipe (its DevTools protocol: JSON messages that end with a zero byte)."""

    FLAGS = ("--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
             "--disable-component-update --disable-sync --remote-debugging-pipe")

    def __init__(self, program: str, profile: Path):
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        command = (f"exec {shlex.quote(program)} {self.FLAGS} --user-data-dir={shlex.quote(str(profile))} 3<&{to_read} "
                   f"4>&{to_write}")
        self._process = subprocess.Popen(["bash", "-c", command], pass_fds=(to_read, to_write),
                                         stderr=subprocess.DEVNULL)
        os.close(to_read), os.close(to_write)
        self._count, self._buffer = 0, b""

    def open_tab(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method: str, session: str | None = None, **parameters) -> dict:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters,
                   **({"sessionId": session} if session else {})}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._count:  # events are of no interest
            pass
        assert "result" in answer, answer
        return answer["result"]

    def _read(self) -> dict:
        while b"\0" not in self._buffer:
            assert select.select([self._from], [], [], 60)[0], "the browser does not answer"
            piece = os.read(self._from, 1 << 16)
            assert piece, "the browser has gone"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, url: str, done: str, seconds: float = 60) -> str:
        """The HTML of the page once the JavaScript expression `done` is true."""
        self.call("Page.navigate", self._session, url=url)
        expression = f"location.href === {json.dumps(url)} && ({done}) ? document.documentElement.outerHTML : ''"
        end, dom = time.monotonic() + seconds, ""
        while not dom and time.monotonic() < end:
            time.sleep(0.05)
            dom = self.call("Runtime.evaluate", self._session, expression=expression)["result"].get("value", "")
        assert dom, f"{url} did not get done in {seconds} s"
        return dom

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        os.close(self._to), os.close(self._from)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    need("bash")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not program:
        pytest.skip("needs chromium")
    browser = Browser(program, tmp_path_factory.mktemp("profile"))
    try:
        browser.open_tab()
        yield browser
    finally:
        browser.close()


@pytest.fixture
def page(browser, module_builds, tmp_path):
    """page(query): the HTML of the demo page after its work. `page.folder` is where it can fetch from."""
    folder = tmp_path / "site"
    shutil.copytree(module_builds["simd128"] / "demo", folder / "demo")
    for name in ("wisp.js", "wisp.wasm"):
        shutil.copy(module_builds["simd128"] / name, folder)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    done = "document.querySelector('#status.error') || document.querySelector('#results li')"

    def open_page(query: str) -> str:
        return browser.open(f"http://127.0.0.1:{server.server_port}/demo/index.html{query}", done)

    open_page.folder = folder / "demo"
    yield open_page
    server.shutdown()
    server.server_close()


def shown(dom: str) -> list[tuple[int, str, float]]:
    """Index, label and score of each result."""
    found = re.findall(r'<li data-index="(\d+)">([^<]*): (-?[\d.]+)</li>', dom)
    return [(int(index), html.unescape(label), float(score)) for index, label, score in found]


@pytest.mark.parametrize("size", [(100, 75), (64, 200), (20, 30), (55, 55)], ids=str)
def test_page_classifies_as_python_does(page, size):
    """The same five classes and, to the last digit shown, the same scores: the page makes the same pixels."""
    import wisp
    from wisp.image import load_image
    from wisp_converter import convert

    data = convert(classifier(), quantize="int8", calibration=pictures(8), verify=False,
                   metadata={"preprocessing": PREPROCESSING, "labels": [f"label <{i}>" for i in range(12)]})
    (page.folder / "model.wisp").write_bytes(data)
    draw(page.folder / "picture.png", *size, seed=size[0])
    y = wisp.load(data).run(load_image(page.folder / "picture.png", PREPROCESSING))["y"][0]
    best = np.argsort(-y, kind="stable")[:5]
    dom = page("?picture=picture.png")
    assert shown(dom) == [(int(i), f"label <{i}>", float(f"{y[i]:.4f}")) for i in best], dom
    assert re.search(r">[\d.]+ ms on one thread", dom)


def test_page_tells_what_is_wrong(page, small_files):
    (page.folder / "plain.wisp").write_bytes(small_files["float"])
    (page.folder / "broken.wisp").write_bytes(small_files["float"][:-100])
    assert "does not say how pictures become inputs" in page("?model=plain.wisp")
    assert re.search(r'class="error"[^>]*>[^<]*\w', page("?model=broken.wisp"))
    assert "404" in page("?model=none.wisp")
