"""The `muaudit` program: its commands and nothing else."""

from __future__ import annotations

from typing import Annotated

import typer

from muaudit.cli.baseline import baseline
from muaudit.cli.check import check
from muaudit.cli.config import config
from muaudit.cli.convert import convert
from muaudit.cli.coord_check import coord_check
from muaudit.cli.explain import explain
from muaudit.cli.init import init
from muaudit.cli.rules import rules
from muaudit.cli.sweep import sweep
from muaudit.cli.tables import tables
from muaudit.cli.transfer import transfer
from muaudit.cli.version import print_version, version

# rich_markup_mode=None: help and usage errors stay plain text, and rich is not imported for them.
app = typer.Typer(
    name="muaudit",
    help="A type checker for width scaling: audits the µP parametrization of PyTorch models.",
    epilog="Exit codes: 0 clean, 1 errors found, 2 the tool could not do the job.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In the order of the help: audit and conversion, experiments, a repository's settings, reference.
for command in (check, convert, transfer, coord_check, sweep, init, baseline, config, rules, explain, tables, version):
    app.command(command.__name__.replace("_", "-"))(command)


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the console script."""
    app(prog_name="muaudit")
