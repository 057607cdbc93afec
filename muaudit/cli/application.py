"""The commands of the `muaudit` program and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import import_module
from typing import Annotated, Any

import typer

from muaudit.cli.help import EXAMPLES, WIDEST, CommandHelp, ProgramHelp
from muaudit.cli.version import print_version

GROUPS = {
    "Audit and convert": {
        "check": "Report what breaks as the model widens, and the fix.",
        "convert": "Plan the conversion to µP, and convert checkpoints.",
        "transfer": "Print every hyperparameter at another size.",
        "draw": "Draw the modules of a model in the order of the data flow.",
        "report": "Write one HTML page: audit, conversion and measurement.",
    },
    "Train and measure": {
        "coord-check": "Train a few steps at several widths and measure.",
        "diagnose": "Train until something goes wrong, and say what first.",
        "sweep": "Train every width with every learning rate.",
        "tune": "Search hyperparameters on a small model.",
    },
    "Set up a repository": {
        "init": "Find the models of a repository and configure them.",
        "baseline": "Write down the findings there are.",
        "config": "Print the effective settings and where each came from.",
        "mcp": "Serve check, why, explain and convert to coding agents.",
    },
    "Look up": {
        "rules": "List the rules: code, name, severity, summary.",
        "explain": "Explain a rule: example, fix, evidence, and when it is fine.",
        "tables": "Print the tables of µP and SP with their source.",
        "version": "Print the version.",
    },
}
COMMANDS = {name: sentence for commands in GROUPS.values() for name, sentence in commands.items()}
"""First sentences of the commands' help. A command's module is imported when the command is called."""


def application(needed: Collection[str] = tuple(COMMANDS)) -> typer.Typer:
    """The program. needed: commands that can be called; the others are there by their name and first sentence alone."""
    # rich_markup_mode=None: help and usage errors stay plain text, and rich is not imported for them.
    app = typer.Typer(
        name="muaudit",
        cls=_Program,
        help="A type checker for width scaling: audits the µP parametrization of PyTorch models.",
        epilog=f"Example: {EXAMPLES['check']}\n\nExit codes: 0 clean, 1 errors found, 2 the tool could not do the job.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
    )
    app.callback()(_program)
    for name, sentence in COMMANDS.items():
        if name in needed:
            app.command(name, cls=CommandHelp)(_command(name))
        else:
            app.command(name, help=sentence)(_named)
    return app


class _Program(ProgramHelp):
    groups = {title: tuple(commands) for title, commands in GROUPS.items()}  # noqa: RUF012


def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _command(name: str) -> Callable[..., Any]:
    function = name.replace("-", "_")
    found: Callable[..., Any] = getattr(import_module(f"muaudit.cli.{function}"), function)
    return found


def _named() -> None:
    """In the place of a command that is not called."""
