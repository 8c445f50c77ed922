"""Wisp's converter: ONNX in, one .wisp file out. `convert` does all of it; see docs/architecture.md."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from .convert import convert, save
from .errors import (CalibrationError, ConvertError, InputError, ModelError, SourceError, UnsupportedError,
                     VerifyError)
from .progress import Progress
from .runner import temporary_file
from .sources.onnx.load import files_of

__all__ = ["CalibrationError", "ConvertError", "InputError", "ModelError", "Progress", "SourceError",
           "UnsupportedError", "VerifyError", "convert", "files_of", "save", "temporary_file"]
