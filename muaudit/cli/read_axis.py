"""`muaudit check --axis NAME=8,16`: what follows any argument, read and not judged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from muaudit.cli.output import terminal_width, write
from muaudit.cli.pipeline import patience
from muaudit.cli.request import Flags, request
from muaudit.errors import UserError
from muaudit.isolation import Task, run_task
from muaudit.isolation.plain_data import rebuilt
from muaudit.report.layout import Line
from muaudit.report.render import to_text
from muaudit.targets.options import parse_depths


def read_axis(axis: str, flags: Flags, format_: str, output: list[str] | None, timeout: int | None) -> int:
    """Print the table, or the document; exit 0: nothing is judged.

    Raises:
        UserError: another format than rich and json, more sizes than two, several targets, or no such target.
    """
    if format_ not in ("rich", "json"):
        raise UserError(f"--axis {axis} is a table: expected --format rich or json, found {format_}")
    name, sizes = next(iter(parse_depths([axis]).items()))
    if len(sizes) != 2:
        raise UserError(f"--axis {axis} is read between two sizes", f"for example --axis {name}={sizes[0]},{sizes[-1]}")
    jobs = request(replace(flags, axis="width")).jobs
    if len(jobs) > 1:
        raise UserError(f"several targets are configured: {', '.join(job.name for job in jobs)}", "name one")
    (job,) = jobs
    options = replace(job.options, depths={name: sizes})
    task = Task(job.shown, "muaudit.jobs.argument_task:read", (job.text, options, job.plan, job.seed))
    done = run_task(task, patience=patience(timeout))
    place = Path(output[0]) if output else None
    if format_ == "json":
        write(json.dumps(done["document"], indent=2, ensure_ascii=False) + "\n", place)
    else:
        lines = [rebuilt(Line, each) for each in done["lines"]]
        write(to_text(lines, terminal_width() if place is None else None), place)
    return 0
