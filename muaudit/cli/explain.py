"""`muaudit explain CODE`: a rule in full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from muaudit.cli import complete
from muaudit.cli.guard import guarded
from muaudit.cli.output import show
from muaudit.report.layout import BOLD, CODE, Line, line
from muaudit.report.terminal import STYLES
from muaudit.rules import get_rule

if TYPE_CHECKING:
    from muaudit.report.layout import Line
    from muaudit.rules import Rule


@guarded
def explain(
    code: Annotated[
        str, typer.Argument(help="A rule's code or name: MUP201, 201, attention-scale.", autocompletion=complete.rules)
    ],
) -> int:
    """Explain a rule: example, fix, evidence, and when it is fine."""
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
