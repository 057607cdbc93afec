"""`muaudit explain CODE`: a rule in full; `--errors`: every message that ends a run with exit code 2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from muaudit.cli import complete
from muaudit.cli.guard import guarded
from muaudit.cli.messages import Message, like, messages
from muaudit.cli.output import show
from muaudit.errors import UserError
from muaudit.report.layout import BOLD, CODE, DIM, Line, line
from muaudit.report.terminal import STYLES
from muaudit.rules import get_rule

if TYPE_CHECKING:
    from muaudit.report.layout import Line
    from muaudit.rules import Rule


@guarded
def explain(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="CODE",
            help="A rule's code or name: MUP201, 201, attention-scale; with --errors some words of a message.",
            show_default=False,
            autocompletion=complete.rules,
        ),
    ] = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="List the messages of exit code 2, each with what to do about it.")
    ] = False,
) -> int:
    """Explain a rule: example, fix, evidence, and when it is fine."""
    if errors:
        return show(_messages(like(code, messages()) if code else messages(), code))
    if code is None:
        raise UserError("CODE is missing", "for example: muaudit explain MUP301; muaudit rules lists them all")
    return show(_lines(get_rule(code)))


def _lines(rule: Rule) -> Iterator[Line]:
    yield line((rule.code, BOLD), f" {rule.name} (", (rule.severity, STYLES[rule.severity]), f"): {rule.summary}")
    yield Line()
    for text in rule.doc.splitlines():
        if text.startswith("## "):
            yield line((text.removeprefix("## "), BOLD))
        elif text.startswith("    "):
            yield line((text[4:], CODE), indent=4)
        else:
            yield line(text)


def _messages(found: Iterable[Message], wanted: str | None) -> Iterator[Line]:
    """Under the heading of their areas; the second line of each says what to do."""
    listed = list(found)
    if not listed:
        raise UserError(f"no message has any of the words of {wanted!r}", "muaudit explain --errors lists them all")
    yield line("What stands in capitals is filled in: a name, a file, a number.")
    for area, of_area in groupby(listed, lambda each: each.area):
        yield Line()
        yield line((area, BOLD))
        for each in of_area:
            yield from (line(row, indent=2, hang=2) for row in each.text.splitlines())
            yield from (line((row, DIM), indent=6, hang=2) for row in each.hint.splitlines() if row)
