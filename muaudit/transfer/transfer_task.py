"""A transfer from the target to the text, meant for a child: it builds the model, and so runs the user's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..convert.planner import make_plan
from ..parametrizations.recipes import RECIPES
from ..plan.file import plan_text
from ..plan.plan import Plan
from ..plan.scales import Entry
from ..report.render import to_text
from ..targets import TargetOptions, resolve
from ..targets.probe import Target
from . import transfer_lines
from .asked import Asked
from .carry import as_plan, carry
from .init_stds import init_stds
from .run_size import RunSize


def transferred(target: str | None, options: TargetOptions, asked: Asked) -> str:
    """The text of a transfer; the target is audited for the exponents. Raises UserError."""
    found = resolve(target, options)

    def again(others: TargetOptions) -> Target:
        return resolve(target, others)

    def measured(plan: Plan) -> dict[str, float]:
        return init_stds(plan, found, options, again)

    return text_of(plan_for(found, asked.start, asked.to), asked, measured)


def plan_for(target: Target, start: RunSize, to: RunSize) -> Plan:
    """The plan between two sizes of a target, over what they say. Raises UserError."""
    depths = None if start.depth is None or to.depth is None or start.depth == to.depth else (start.depth, to.depth)
    return make_plan(target, start.width, to.width or target.axes[0].probes[0], depths=depths)


def text_of(plan: Plan, asked: Asked, measured: Callable[[Plan], Mapping[str, float]] = lambda moved: {}) -> str:
    """The text of a transfer by a plan; measured: as for `carry`. Raises UserError."""
    sized = asked.start.width is not None or asked.start.depth is not None
    done = carry(plan, asked.start, asked.to, asked.given, asked.recipe, sized=sized, measured=measured)
    if asked.style == "plan":
        return plan_text(as_plan(done))
    if asked.style == "table":
        return to_text(transfer_lines.transfer_lines(done, asked.columns), asked.columns)
    return transfer_lines.to_yaml(done) if asked.style == "yaml" else transfer_lines.to_json(done)


def without_model(optimizer: str | None, recipe: str | None) -> Plan:
    """A plan of one entry for all tensors, where neither width nor depth changes."""
    known = RECIPES.get(recipe or "")
    name = optimizer or ("sgd" if known is not None and known.family == "sgd" else "adamw")
    return Plan("all tensors", "width", 1, 1, name, (Entry("*", (), ()),))
