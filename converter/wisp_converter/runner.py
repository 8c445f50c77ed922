"""The only door to the engine: run a .wisp file that may have no name, and ask the runtime what it needs."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import errno
import mmap
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import ml_dtypes
import numpy as np

from .errors import ConvertError, UnsupportedError
from .ir import Graph
from .target.format import Plan, write_to

MISSING = "conversion asks the runtime and runs it: install wisp"


class Runner:
    """A loaded .wisp file. `run({name: array})` gives {name: array}. `cpu`: the highest instruction set it may use.

    file: open for reading. It is mapped, not read, and may be closed, but not changed while the runner lives. What
    opening it, which reads all, leaves in memory is given back.
    """

    def __init__(self, file: BinaryIO, threads: int = 1, cpu: str | None = None) -> None:
        try:
            import wisp
        except ImportError as error:
            raise ConvertError(f"{MISSING} ({error})") from error
        self.wisp_error = wisp.WispError
        self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self.model = self._load(wisp, self.data, threads, cpu)
        except wisp.WispError as error:
            raise UnsupportedError(f"the runtime refuses the converted model: {error}") from error
        self.rest()

    @classmethod
    def of(cls, graph: Graph, plan: Plan, threads: int = 1, cpu: str | None = None) -> Runner:
        """Of a packed graph."""
        with temporary_file() as file:
            write_to(file, graph, plan)
            return cls(file, threads, cpu)

    @staticmethod
    def _load(wisp, data: mmap.mmap, threads: int, cpu: str | None):
        try:
            return wisp.load(data, threads=threads, cpu=cpu)
        except wisp.UnsupportedError:  # perhaps a build without threads
            return wisp.load(data, cpu=cpu)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            outputs = self.model.run(inputs)
        except self.wisp_error as error:
            raise UnsupportedError(f"the runtime refuses to run the converted model: {error}") from error
        types = {o.name: getattr(ml_dtypes, o.element_type) for o in self.model.outputs if o.element_type}
        return {name: array.view(types[name]) if name in types else array for name, array in outputs.items()}

    def reset(self) -> None:
        """States back to their initial values."""
        self.model.reset()

    def from_source(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The source's inputs in the dtypes and layouts of the file's."""
        from wisp.interface import from_source
        return from_source(self.model.inputs, self.model.metadata, inputs)

    def inputs_to_source(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The file's inputs as the source has them: real numbers, its layouts."""
        from wisp.interface import to_source
        return to_source(self.model.inputs, self.model.metadata, inputs)

    def source_preprocessing(self, name: str) -> dict:
        """How pictures become the source's input `name`. The file says how they become its own."""
        from wisp.interface import source_preprocessing
        return source_preprocessing(self.model.metadata, name)

    def outputs_to_source(self, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The file's outputs as the source has them."""
        from wisp.interface import to_source
        return to_source(self.model.outputs, self.model.metadata, outputs)

    def rest(self) -> None:
        """Give the memory back that the mapped file uses until the next run."""
        rest(self.data)

    def output_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """The outputs' shapes before a run; None for an extent that only a run can tell."""
        return self.model.output_shapes()


class ExposedRunner(Runner):
    """A .wisp file whose every activation is an output: real numbers, whatever they are stored as. `outputs`: the names
    of those that are outputs of the file. `states`: the initial value of each state, by name."""

    def __init__(self, file: BinaryIO, threads: int = 1) -> None:
        try:
            from wisp.expose import expose
        except ImportError as error:
            raise ConvertError(f"{MISSING} ({error})") from error
        file.seek(0)
        exposed, original = expose(file.read())
        with temporary_file() as copy:
            copy.write(exposed)
            copy.flush()
            super().__init__(copy, threads)
        self.outputs = [t.name for t in original.outputs]
        self.states = {s.tensor.name: self._initial(original, s) for s in original.states}

    @staticmethod
    def _initial(file, state) -> np.ndarray:
        dtype = np.dtype(getattr(ml_dtypes, state.tensor.dtype, state.tensor.dtype))
        first = state.initial
        data = bytes(state.tensor.size) if first is None else file.weights[first.offset:first.offset + first.size]
        return np.frombuffer(data, dtype).reshape(state.tensor.dims)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        infos = {t.name: t for t in self.model.outputs}
        return {name: infos[name].dequantize(value) if infos[name].scale else value
                for name, value in super().run(inputs).items()}


def scratch_needs(file: BinaryIO) -> tuple[int, int]:
    """(shared, each): bytes of scratch that a file with static shapes can use at most,
    of all threads together and of each."""
    return Runner(file, cpu="scalar").model.scratch_needs()


def rest(data: mmap.mmap) -> None:
    """Give the memory back that a mapped file uses; what is read again comes from the file again."""
    if hasattr(mmap, "MADV_DONTNEED"):
        data.madvise(mmap.MADV_DONTNEED)


@contextlib.contextmanager
def temporary_file() -> Iterator[BinaryIO]:
    """A file without a name that is gone when it is closed and nothing has it mapped."""
    try:
        with tempfile.TemporaryFile() as file:
            yield file
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise ConvertError(f"{tempfile.gettempdir()}: no room for temporary files as large as the model "
                           f"({error.strerror}); TMPDIR names another folder") from error


def pixels_to_real(pixels: np.ndarray, mean, std) -> np.ndarray:
    """f32 (pixel - mean) / std along the last axis, as the engine prepares pictures."""
    from wisp.interface import pixels_to_real as convert
    return convert(pixels, mean, std)


def is_image(path) -> bool:
    """Whether a file's name says that it is a picture."""
    return str(path).lower().endswith((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif"))


def complete_preprocessing(options: dict) -> dict:
    """All that was left out of `preprocess` but the size. ValueError in one line."""
    return _image().complete(options)


def normalize(pixels: np.ndarray, preprocessing: dict) -> np.ndarray:
    """uint8 RGB [height, width, 3] as the engine will feed it to the model."""
    return _image().normalize(pixels, preprocessing)


def load_image(path, preprocessing: dict) -> np.ndarray:
    """A picture as the engine will feed it to the model; `preprocessing` as in the file's metadata."""
    return _image().load_image(path, preprocessing)


def _image():
    try:
        from wisp import image
    except ImportError as error:
        raise ConvertError(f"{MISSING} ({error})") from error
    return image


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
