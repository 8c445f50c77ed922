"""A user's script as `mypy --strict` sees it; `make lint` checks it, a test runs it. usage: MODEL.wisp"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import wisp
from numpy.typing import NDArray


def classify(model: wisp.Model, pictures: list[NDArray[np.float32]]) -> list[int]:
    session: wisp.Session = model.session()
    x, y = session.inputs["x"], session.outputs["y"]
    found: list[int] = []
    for picture in pictures:
        x[...] = picture
        session.run()
        found.append(int(y.argmax()))
    return found


def describe(model: wisp.Model) -> str:
    tensor: wisp.TensorInfo = model.inputs[0]
    sizes: tuple[int | str | None, ...] = tensor.shape
    labels: Any = model.metadata.get("labels")
    return f"{tensor.name} {tensor.dtype} {sizes} {labels} {model.arena_bytes + model.session_bytes}"


def slowest(model: wisp.Model) -> wisp.NodeProfile:
    profile: wisp.Profile = model.profile(runs=3)
    return max(profile.nodes, key=lambda node: node.microseconds)


def main(path: Path) -> None:
    with wisp.load(path, threads=2) as model:
        shape = [d for d in model.inputs[0].shape if isinstance(d, int)]
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        outputs: dict[str, NDArray[Any]] = model.run({"x": x})
        mine = {"y": np.empty_like(outputs["y"])}
        same: dict[str, NDArray[Any]] = model.run(x.tolist(), out=mine)
        y: NDArray[np.float32] = model(x)
        again: wisp.Model = pickle.loads(pickle.dumps(model))
        assert same is mine and np.array_equal(y, mine["y"]) and np.array_equal(again(x=x), y)
        print(describe(model), classify(model, [x]), slowest(model).name)
        try:
            model.run({"z": x})
        except wisp.WispError as error:
            print(error)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
