"""The `wisp` command. Exit status 0; 1 for a bad model or input; 2 for bad usage; one line on stderr says why."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import os
import sys
import traceback
from importlib import import_module

from . import __version__
from .errors import OutputError, WispError

COMMANDS = ("convert", "run", "bench", "inspect", "compare", "ops")


class UsageError(Exception):
    """The command line contradicts itself or names something that does not exist in it."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="wisp", description="Convert ONNX models to .wisp files, run them, measure and inspect them.")
    parser.add_argument("--version", action="version", version=f"wisp {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name in COMMANDS:
        module = import_module(f".commands.{name}", __package__)
        command = commands.add_parser(name, help=module.HELP.splitlines()[0], description=module.HELP,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
        return 0
    except (UsageError, OutputError) as error:
        return _fail(arguments, error, 2)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"wisp {arguments.command}: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if arguments.debug or not _is_expected(error):
            traceback.print_exc()
        return _fail(arguments, error, 1)


def _is_expected(error: Exception) -> bool:
    """Whether the message alone tells the user what is wrong: our own errors, the converter's, and the system's."""
    converter = sys.modules.get("wisp_converter")
    own = (WispError, OSError, MemoryError) + ((converter.ConvertError,) if converter else ())
    return isinstance(error, own)


def _fail(arguments, error: Exception, status: int) -> int:
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif isinstance(error, MemoryError) and not message:
        message = "out of memory"
    print(f"wisp {arguments.command}: {' '.join(message.split())}", file=sys.stderr)
    return status
