"""The command line: every file of this folder that has no underscore in front is a command.

A command is a function with the file's name (`list_` in `list.py`, which Python would shadow); its
arguments and docstring are what `--help` shows. Only the command that runs is imported.

Exit codes: 0 done; 1 done, and the answer is no; 2 the user's mistake, told in a sentence; 130
interrupted (143 by `kill`, 129 by a closed terminal).
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

import palmette
from palmette.cli._signals import interruptible
from palmette.errors import GROUND, UnknownNameError, UserError


class Commands(TyperGroup):
    """The commands of the folder, found by name; a user's mistake ends in a sentence and a 2."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in alphabetical order."""
        modules = pkgutil.iter_modules(__path__)
        return sorted(module.name for module in modules if not module.name.startswith("_"))

    listing = False

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Lists the commands by their docstrings, without importing what they import."""
        self.listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self.listing = False

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, imported now; `UnknownNameError` if there is no such file."""
        if cmd_name not in self.list_commands(ctx):
            raise UnknownNameError("command", cmd_name, self.list_commands(ctx))
        if self.listing:
            return TyperCommand(cmd_name, help=_docstring(cmd_name))
        module = importlib.import_module(f"{__name__}.{cmd_name}")
        function = getattr(module, cmd_name, None) or getattr(module, f"{cmd_name}_")
        single = typer.Typer(add_completion=False)
        single.command(cmd_name)(function)
        return typer.main.get_command(single)

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Runs a command; see the module's exit codes."""
        try:
            with interruptible():
                return super().main(*arguments, **options)
        except UserError as error:
            _complain(str(error))
        except OSError as error:
            if error.errno not in GROUND:
                raise
            where = f" ({error.filename})" if error.filename else ""
            _complain(f"{error.strerror}{where}; make room or name another place, then try again")
        sys.exit(2)


def _complain(sentence: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text(f"palmette: {sentence}", style="red"))


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a fault of ours is best reported as Python prints it
)


def _docstring(command: str) -> str | None:
    """The docstring of a command's function, read from its source."""
    source = (Path(__file__).parent / f"{command}.py").read_text(encoding="utf-8")
    for part in ast.parse(source).body:
        if isinstance(part, ast.FunctionDef) and part.name in (command, f"{command}_"):
            return ast.get_docstring(part)
    return None


def _version(wanted: bool) -> None:
    if wanted:
        print(f"palmette {palmette.__version__}")
        raise typer.Exit


@app.callback()
def _palmette(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it and stop."),
    ] = False,
) -> None:
    """Discovers neural architectures, proves that a discovery is real, explains it, ships it."""


def main() -> None:
    """The entry point of the `palmette` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None where it was closed
            stream.reconfigure(errors="replace")  # drawings have letters that not all encodings do
    app(prog_name="palmette")
