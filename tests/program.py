"""The `muaudit` program with all its commands, as tests call it."""

from __future__ import annotations

from muaudit.cli.main import application

app = application()
