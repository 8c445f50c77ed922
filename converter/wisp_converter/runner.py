"""The only door to the engine: run a .wisp file from memory, and ask the runtime what it needs."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .errors import ConvertError, UnsupportedError


MISSING = "conversion asks the runtime and runs it: install wisp"


class Runner:
    """A loaded .wisp file. `run({name: array})` gives {name: array}. `cpu`: the highest instruction set it may use."""

    def __init__(self, data: bytes, threads: int = 1, cpu: str | None = None) -> None:
        try:
            import wisp
        except ImportError as error:
            raise ConvertError(f"{MISSING} ({error})") from error
        self.wisp_error = wisp.WispError
        try:
            self.model = self._load(wisp, data, threads, cpu)
        except wisp.WispError as error:
            raise UnsupportedError(f"the runtime refuses the converted model: {error}") from error

    @staticmethod
    def _load(wisp, data: bytes, threads: int, cpu: str | None):
        try:
            return wisp.load(data, threads=threads, cpu=cpu)
        except wisp.UnsupportedError:  # perhaps a build without threads
            return wisp.load(data, cpu=cpu)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return self.model.run(inputs)
        except self.wisp_error as error:
            raise UnsupportedError(f"the runtime refuses to run the converted model: {error}") from error

    def from_source(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The source's inputs in the dtypes and layouts of the file's."""
        from wisp.interface import from_source
        return from_source(self.model.inputs, self.model.metadata, inputs)

    def inputs_to_source(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The file's inputs as the source has them: real numbers, its layouts."""
        from wisp.interface import to_source
        return to_source(self.model.inputs, self.model.metadata, inputs)

    def outputs_to_source(self, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The file's outputs as the source has them."""
        from wisp.interface import to_source
        return to_source(self.model.outputs, self.model.metadata, outputs)

    def output_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """The outputs' shapes before a run; None for an extent that only a run can tell."""
        return self.model.output_shapes()


def scratch_needs(data: bytes) -> tuple[int, int]:
    """(shared, each): bytes of scratch that a file with static shapes can use at most,
    of all threads together and of each."""
    return Runner(data, cpu="scalar").model.scratch_needs()


def is_image(path) -> bool:
    """Whether a file's name says that it is a picture."""
    return str(path).lower().endswith((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif"))


def load_image(path, preprocessing: dict) -> np.ndarray:
    """A picture as the engine will feed it to the model; `preprocessing` as in the file's metadata."""
    try:
        from wisp.image import load_image as load
    except ImportError as error:
        raise ConvertError(f"{MISSING} ({error})") from error
    return load(path, preprocessing)


def write_output(data, path, inputs, error_class: type[ConvertError]) -> None:
    """The engine's way to write a file; what it refuses becomes an `error_class`."""
    try:
        from wisp.errors import OutputError
        from wisp.output import write_output as write
    except ImportError as error:
        raise ConvertError(f"{MISSING} ({error})") from error
    try:
        write(path, data, inputs)
    except OutputError as error:
        raise error_class(str(error)) from error
    except BrokenPipeError:  # whoever reads it has seen enough
        raise
    except OSError as error:
        raise error_class(f"{error.filename}: cannot be written: {error.strerror or error}") from error
