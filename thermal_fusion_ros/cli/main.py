"""`thermal-fusion`: finds the sub-commands by listing this package and runs the one that was asked for."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from typing import Protocol, cast

import thermal_fusion_ros
import thermal_fusion_ros.cli as commands_package
from thermal_fusion_ros.errors import InputError

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class Command(Protocol):
    """What a module in `thermal_fusion_ros.cli` must offer to be a sub-command."""

    HELP: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def discover() -> dict[str, Command]:
    """Every sub-command by name; `some_name.py` is `some-name`. A file without `HELP` is a helper, not a command."""
    found: dict[str, Command] = {}
    for module_info in pkgutil.iter_modules(commands_package.__path__):
        if module_info.name == "main" or module_info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{commands_package.__name__}.{module_info.name}")
        if hasattr(module, "HELP"):
            found[module_info.name.replace("_", "-")] = cast(Command, module)
    return found


def build_parser() -> argparse.ArgumentParser:
    """The parser with every sub-command on it."""
    parser = argparse.ArgumentParser(
        prog="thermal-fusion",
        description="RGB-thermal fusion and depth for robots: real-time, offline, or over ROS 2.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {thermal_fusion_ros.__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in sorted(discover().items()):
        subparser = subparsers.add_parser(name, help=command.HELP, description=command.HELP)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; bad input becomes one line on stderr and exit code 2."""
    code = 0
    try:
        try:
            code = _run(argv)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # at exit the interpreter would complain in its own words
    except BrokenPipeError:  # the reader (`| head`) has enough
        _discard_output()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _discard_output()
        print(f"thermal-fusion: {error.strerror}; make room, or write elsewhere", file=sys.stderr)
        return EXIT_BAD_INPUT
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = build_parser().parse_args(argv)
        return int(args.run(args))
    except InputError as error:
        print(f"thermal-fusion: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("thermal-fusion: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _discard_output() -> None:
    """Point stdout nowhere, so that what is left of it is no error again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
