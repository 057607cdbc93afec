"""The `muaudit` program with all its commands, as tests call it."""

from __future__ import annotations

from functools import cache

import pytest
import typer.main

from muaudit.cli.application import application

app = application()
# At every call typer builds all of its commands anew, a tenth of a second for these. They keep nothing of a call.
typer.main.get_command_from_info = cache(typer.main.get_command_from_info)


def exit_code(*args: str) -> int:
    """Run a command in this process."""
    with pytest.raises(SystemExit) as stop:
        app(args, prog_name="muaudit")
    return stop.value.code if isinstance(stop.value.code, int) else 0
