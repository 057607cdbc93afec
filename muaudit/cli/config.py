"""`muaudit config`: what counts here, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from muaudit.cli import flags as flag
from muaudit.cli.guard import guarded
from muaudit.cli.output import show, write
from muaudit.locations import shown_path
from muaudit.report.layout import Line, columns, line
from muaudit.settings import load_settings
from muaudit.settings.schema import SHIPPED
from muaudit.settings.settings_lines import as_json, as_text


@guarded
def config(
    config: flag.Config = None,
    isolated: flag.Isolated = False,
    json_: Annotated[bool, typer.Option("--json", help="As a JSON document.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a configuration.")] = False,
) -> int:
    """Print the effective settings and where each came from."""
    if schema:
        write(SHIPPED.read_text(encoding="utf-8"))
        return 0
    settings = load_settings(Path.cwd(), config, isolated)
    if json_:
        write(as_json(settings))
        return 0
    where = shown_path(str(settings.file)) if settings.file else "none; these are the defaults"
    return show([line(f"configuration: {where}"), Line(), *columns(as_text(settings), hang=4)])
