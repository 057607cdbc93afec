"""`muaudit version` and `muaudit --version`."""

from __future__ import annotations

import typer

from muaudit.cli.guard import guarded
from muaudit.cli.output import write
from muaudit.release import __version__


@guarded
def version() -> int:
    """Print the version."""
    write(f"muaudit {__version__}\n")
    return 0


def print_version(wanted: bool) -> None:
    """What `--version` does: print and stop before a command is asked for."""
    if wanted:
        write(f"muaudit {__version__}\n")
        raise typer.Exit(0)
