"""A plan as the rules of a training framework: patterns of names with what their groups get, tried on the real names.

Each framework matches names in a way of its own. What is written was matched that way against all parameters of the
model before: every rule matches something, and every parameter is matched by the rule that is meant for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...errors import UserError
from ...plan.plan import Plan
from ...plan.scales import Entry
from ...suggest import nearest
from .all_frameworks import FRAMEWORKS
from .exact_names import exact_names
from .framework import Framework, FrameworkRule, rule_of


def emitted(plan: Plan, name: str, names: Sequence[str]) -> Mapping[str, str]:
    """The texts of the files for a framework, by name. names: of all parameters of the model.

    Raises:
        UserError: there is no such framework, or its rules cannot say what the plan does.
    """
    check_framework(name)
    if name == "json":
        return exact_names(plan, names)
    if plan.optimizers:
        raise UserError(
            f"--emit {name}: this plan is for several optimizers, {plan.optimizer}", "--emit json lists all"
        )
    made = FRAMEWORKS[name]
    rules = [rule_of(plan, entry, made.pattern(entry.pattern)) for entry in _exact_first(plan)]
    check_rules(plan, made, rules, names)
    return made.files(plan, rules)


def check_framework(name: str) -> None:
    """Raise UserError for a framework that is none of those known."""
    if name != "json" and name not in FRAMEWORKS:
        raise UserError(f"no framework {name!r}", nearest(name, ("json", *FRAMEWORKS), "--emit takes"))


def check_rules(plan: Plan, framework: Framework, rules: Sequence[FrameworkRule], names: Sequence[str]) -> None:
    """Raise UserError unless every rule matches, and every name is matched by the rule that the plan means."""
    wrong: list[str] = []
    used: set[int] = set()
    for name in names:
        entry = plan.entry([name])
        found = [rule for rule in rules if framework.matches(rule.pattern, name)]
        used |= {id(rule) for rule in (found[:1] if framework.first else found)}
        if entry is None or not found:
            wrong.append(f"{name} is matched by no rule")
        elif len(found) > 1 and not framework.first:
            wrong.append(f"{name} is matched by {' and by '.join(rule.pattern for rule in found)}")
        elif found[0].scales != rule_of(plan, entry, "").scales:
            wrong.append(f"{name} is matched by {found[0].pattern} before its own rule")
    wrong += [f"{rule.pattern} matches nothing" for rule in rules if id(rule) not in used]
    wrong += framework.wrong(rules, names)
    if wrong:
        shown = "\n".join(f"  {row}" for row in wrong[:8]) + (
            f"\n  and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        )
        raise UserError(f"these rules do not say what the plan does:\n{shown}", "--emit json has the exact names")


def _exact_first(plan: Plan) -> list[Entry]:
    """A plan's exact names beat its patterns, so that they come first."""
    return sorted(plan.entries, key=lambda entry: "*" in entry.pattern)
