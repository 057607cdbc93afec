"""`muaudit init`: from a repository to a configuration that audits its models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from muaudit.cli import flags as flag
from muaudit.cli.guard import guarded
from muaudit.cli.output import show, write
from muaudit.cli.progress import stages
from muaudit.errors import UserError
from muaudit.init.survey import survey
from muaudit.init.survey_lines import count, nothing, survey_lines
from muaudit.init.write import destination, section, whole_text
from muaudit.locations import shown_path
from muaudit.targets.candidates import candidates
from muaudit.writing import check_writable

BUDGET = 75
"""Seconds: with what is then running to its end, an answer within two minutes."""
READ_ONLY = "muaudit init --dry-run prints the section instead"


@guarded
def init(
    folder: Annotated[Path, typer.Argument(help="The repository.", show_default=False)] = Path("."),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the section and write nothing.")] = False,
    yaml: Annotated[bool, typer.Option("--yaml", help="Write muaudit.yaml, also beside a pyproject.toml.")] = False,
    timeout: Annotated[int, typer.Option(metavar="SECONDS", min=1, help="The time one file is given.")] = 60,
    budget: Annotated[
        int, typer.Option(metavar="SECONDS", min=1, help="The time after which no further file is begun.")
    ] = BUDGET,
    jobs: flag.Jobs = None,
    debug: flag.Debug = False,
) -> int:
    """Find the models of a repository and configure them. Each is tried; what the others need is said."""
    if not folder.is_dir():
        raise UserError(f"no such folder: {folder}", "expected the folder of a repository")
    home = folder.resolve()
    file = destination(home, yaml, dry_run)
    if not dry_run:
        check_writable([file], READ_ONLY)
    files = candidates(home)
    with stages(f"trying {count(len(files), 'file')} with models", len(files)) as told:
        found = survey(home, files, timeout, jobs, told, budget)
    if not found.targets:
        raise UserError(*nothing(found, len(files)))
    text = section(found.targets, file)
    if dry_run:
        write(text)
        return 0
    write(whole_text(file, text), file, READ_ONLY)
    return show(survey_lines(found, len(files), shown_path(str(file))))
