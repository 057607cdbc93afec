"""Where reports go: one to stdout, any number to files, in a format each; all are rendered before one is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from muaudit.cli.output import append, terminal_width, write
from muaudit.errors import UserError
from muaudit.report.listing import Run
from muaudit.report.render import FORMATS, Look, render_run
from muaudit.suggest import check_format
from muaudit.visible import visible
from muaudit.writing import check_no_source, check_writable


@dataclass(frozen=True)
class ReportFile:
    """A format and its file; None is stdout."""

    style: str
    path: Path | None = None


def parse_outputs(style: str, texts: Sequence[str]) -> tuple[ReportFile, ...]:
    """`--output FILE` takes the place of stdout, `--output sarif=FILE` is besides it.

    Raises:
        UserError: an unknown format, or two outputs for one file.
    """
    check_format(style, FORMATS)
    found: list[ReportFile] = []
    for text in texts:
        name, equals, path = text.partition("=")
        named = bool(equals) and "/" not in name and "." not in name
        found.append(ReportFile(check_format(name, FORMATS), Path(path)) if named else ReportFile(style, Path(text)))
        if named and not path:
            raise UserError(f"--output {text!r} names no file", f"expected FORMAT=FILE; formats: {', '.join(FORMATS)}")
    paths = [os.path.realpath(each.path) for each in found if each.path]
    if len(set(paths)) != len(paths):
        raise UserError("two --output for one file", "give each a file of its own")
    replaced = any("=" not in text or ("/" in text.partition("=")[0]) for text in texts)
    return tuple(found) if replaced else (ReportFile(style), *found)


def check_outputs(paths: Iterable[Path | None], read: Iterable[str | Path | None]) -> None:
    """Raise UserError unless every output can be written, and is none of the files that the command reads.

    read: files, and targets as they were given (`file.py:Name`, the folder of a `config.json`).
    """
    wanted = [path for path in paths if path is not None]
    check_writable(wanted)
    given = [str(each) for each in read if each]
    given += [text.rpartition(":")[0] for text in given if ":" in text]
    check_no_source(wanted, [*given, *(Path(text, "config.json") for text in given)])


def write_all(run: Run, outputs: Sequence[ReportFile], look: Look) -> None:
    """Render everything, then write everything. Raises UserError where a file cannot be written."""
    columns = terminal_width()
    texts = [_rendered(run, each, replace(look, width=None if each.path else columns)) for each in outputs]
    for each, text in sorted(zip(outputs, texts, strict=True), key=lambda pair: pair[0].path is None):
        write(text, each.path)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary and any(each.style == "github" for each in outputs):
        append(render_run(run, "markdown", look), Path(summary))


def _rendered(run: Run, output: ReportFile, look: Look) -> str:
    """For a terminal the colours are ours, and everything else has been made visible line by line."""
    text = render_run(run, output.style, look)
    return text if output.style == "rich" else visible(text)
