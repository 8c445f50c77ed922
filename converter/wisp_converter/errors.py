"""What can go wrong in a conversion. Messages are one line and say what to do."""
# SPDX-License-Identifier: Apache-2.0


class ConvertError(Exception):
    """Base of the converter's errors."""


class ModelError(ConvertError, ValueError):
    """The source is not a valid model, or its shapes or dtypes contradict each other."""


class UnsupportedError(ConvertError, NotImplementedError):
    """Operators, dtypes or attributes that Wisp does not run. The message names every one with its nodes."""


class InputError(ConvertError, ValueError):
    """Arrays that were given do not fit the inputs, or hold NaN or infinity."""


class CalibrationError(InputError):
    """The calibration data are empty, do not fit the inputs, or hold NaN or infinity."""


class VerifyError(ConvertError, RuntimeError):
    """The converted model's outputs differ from the source's by more than allowed."""


class SourceError(ConvertError, RuntimeError):
    """The source model itself cannot be run, by ONNX Runtime or by ONNX's reference."""
