"""The `wisp` command. Exit status 0; 1 for a bad model or input; 2 for bad usage; one line on stderr says why."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import re
import sys
import traceback
from collections.abc import Iterable
from importlib import import_module
from typing import Any, NoReturn, TextIO

from . import __version__
from .errors import OutputError, WispError

COMMANDS = ("convert", "run", "bench", "inspect", "compare", "ops")

OPTIONS = {
    "calibration": "--calibrate DIR|NPZ",
    "io": "--io NAME=DTYPE",
    "layout": "--layout NAME=LAYOUT",
    "preprocess": "--preprocess {}",
    "quantize": "--quantize {}",
    "shapes": "--shape NAME=1,3,224,224",
    "threads": "--threads {}",
    "verify": "--no-verify",
    "keep_rounding": "--no-rounding",
}
"""Messages say `argument=value` of what Python code gives to `convert` and `load`; here that is an option. A key of
`preprocess` is one by its own name, but for the preset."""

_VALUE = re.compile(rf"\b({'|'.join(OPTIONS)})=(\{{.*?\}}|\(.*?\)|'[^']*'|\w*)")
_PREPROCESS = re.compile(r"\bpreprocess=\{'(\w+)': (.*?)\}")


def in_options(text: str) -> str:
    """What the converter or the library says, with options instead of Python's arguments."""
    text = _PREPROCESS.sub(lambda found: f"--{'preprocess' if found[1] == 'preset' else found[1]} "
                           + found[2].strip("'[]").replace(", ", ","), text)
    return _VALUE.sub(lambda found: OPTIONS[found[1]].format(found[2].strip("'")).strip(), text)


class UsageError(Exception):
    """The command line contradicts itself or names something that does not exist in it."""


class _Parser(argparse.ArgumentParser):
    """Options are written out; a wrong one is met with the right one of its command."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False,
                            "formatter_class": argparse.RawDescriptionHelpFormatter})
        self._negative_number_matcher = re.compile(r"-\.?\d")  # so that "--mean -1,0,1" has a value

    def error(self, message: str) -> NoReturn:
        message = re.sub("^argument (COMMAND: )?", "", message)
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        args = sys.argv[1:] if args is None else list(args)
        self._check_options(args)
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unexpected argument {rest[0]!r}")
        return found, rest

    def _check_options(self, args: list[str]) -> None:
        """Before anything is taken for a value of something else."""
        for argument in args:
            if argument == "--" or self._subparsers is not None and not argument.startswith("-"):
                return
            name = argument.partition("=")[0]
            is_option = argument.startswith("-") and argument != "-" and " " not in name
            if is_option and not self._negative_number_matcher.match(argument):
                if name not in self._option_string_actions and argument[:2] not in self._option_string_actions:
                    self.error(f"there is no option {name}{_closest(name, self._option_string_actions)}")

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is not None:  # argparse's own says nothing of a full disk
            file.write(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = ", ".join(map(str, action.choices))
            problem = f"there is no {value!r}{_closest(value, action.choices)}; there are {choices}"
            raise argparse.ArgumentError(action, problem)


def _closest(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="wisp", description="Convert ONNX models to .wisp files, run them, measure and inspect them.",
                     epilog="wisp COMMAND --help says more, with examples.")
    parser.add_argument("--version", action="version", version=f"wisp {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name in COMMANDS:
        module = import_module(f".commands.{name}", __package__)
        examples = "\n".join(f"  {line}" for line in module.EXAMPLES.strip().splitlines())
        command = commands.add_parser(name, help=module.HELP.splitlines()[0], description=module.HELP,
                                      epilog=f"examples:\n{examples}")
        module.add_arguments(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = argparse.Namespace(command=None, debug=False)
    streams: tuple[Any, ...] = (sys.stdout, sys.stderr)
    for stream in streams:  # a terminal may have fewer letters than a file's name
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")
    try:
        build_parser().parse_args(argv, arguments)
        arguments.run(arguments)
        status = 0
    except SystemExit as end:  # help, version, bad usage
        status = int(end.code or 0)
    except (Exception, KeyboardInterrupt) as error:
        status = _report(arguments, error)
    unwritten = _flush(sys.stdout)
    if unwritten is not None:
        status = status or _report(arguments, unwritten)
    _flush(sys.stderr)
    return status


def _flush(stream: TextIO | None) -> OSError | None:
    """What prevents it, if anything; the stream then leads nowhere, or Python would try again at its end and say so."""
    if stream is None:
        return None
    try:
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


def _report(arguments: argparse.Namespace, error: BaseException) -> int:
    """Say what went wrong, in one line; the exit status it stands for."""
    if isinstance(error, BrokenPipeError):  # the reader of our output has seen enough
        return 0
    if arguments.debug:
        traceback.print_exception(type(error), error, error.__traceback__)
    message = " ".join(_message(error).split())
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(" ".join(filter(None, ("wisp", arguments.command))) + f": {message}", file=sys.stderr)
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, (UsageError, OutputError)) else 1


def _message(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return str(error) or "out of memory"
    converter = sys.modules.get("wisp_converter")
    own = (WispError, UsageError, OSError) + ((converter.ConvertError,) if converter else ())
    if isinstance(error, own):
        return in_options(str(error))
    return f"{type(error).__name__}: {error}; this is a fault of Wisp: please report it with what --debug shows"
