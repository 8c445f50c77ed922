"""Runs .wisp models: `wisp.load(path).run({name: array})`."""
# SPDX-License-Identifier: Apache-2.0
from ._library import version as _version
from .errors import (ArgumentError, BadFileError, DtypeError, InputIndexError, OutOfMemoryError, OutputError,
                     ShapeError, UnsupportedError, WispError)
from .model import Model, load
from .profile import NodeProfile, Profile
from .session import NodeInfo, Session, TensorInfo

__version__ = _version()

__all__ = ["ArgumentError", "BadFileError", "DtypeError", "InputIndexError", "Model", "NodeInfo", "NodeProfile",
           "OutOfMemoryError", "OutputError", "Profile", "Session", "ShapeError", "TensorInfo", "UnsupportedError",
           "WispError", "load"]
