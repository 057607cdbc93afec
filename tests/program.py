"""The `muaudit` program with all its commands, as tests call it."""

from __future__ import annotations

import pytest

from muaudit.cli.main import application

app = application()


def exit_code(*args: str) -> int:
    """Run a command in this process."""
    with pytest.raises(SystemExit) as stop:
        app(args, prog_name="muaudit")
    return stop.value.code if isinstance(stop.value.code, int) else 0
