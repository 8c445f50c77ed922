"""The only door to the engine: run a .wisp file from memory. Everything else in this package works without it."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .errors import ConvertError


class Runner:
    """A loaded .wisp file. `run({name: array})` gives {name: array}."""

    def __init__(self, data: bytes, threads: int = 1) -> None:
        try:
            import wisp
        except ImportError as error:
            raise ConvertError("calibration and verification run the model: install the wisp runtime, "
                               f"or convert with verify=False ({error})") from error
        self.model = wisp.load(data, threads=threads)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.model.run(inputs)
