"""A transfer from the target to the text, meant for a child: it builds the model, and so runs the user's code."""

from __future__ import annotations

from collections.abc import Mapping

from ..convert.planner import make_plan
from ..plan.plan import Plan
from ..report.render import to_text
from ..targets import TargetOptions, resolve
from . import transfer_lines
from .carry import carry


def transferred(
    target: str | None, options: TargetOptions, start: int, to: int, given: Mapping[str, float], style: str,
    columns: int | None,
) -> str:  # fmt: skip
    """The text of a transfer; the target is audited for the exponents. Raises UserError."""
    return text_of(make_plan(resolve(target, options), start, to), start, to, given, style, columns)


def text_of(
    plan: Plan, start: int, to: int, given: Mapping[str, float], style: str, columns: int | None
) -> str:  # fmt: skip
    """The text of a transfer by a plan. style: table, yaml or json. columns: the terminal's. Raises UserError."""
    done = carry(plan, start, to, given)
    if style == "table":
        return to_text(transfer_lines.transfer_lines(done), columns)
    return transfer_lines.to_yaml(done) if style == "yaml" else transfer_lines.to_json(done)
