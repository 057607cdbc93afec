"""Multipliers that stand better in the source than in a hook: the edit of the user's file, where it is one expression.

A factor (width / base_width) ** exponent goes behind the call of the module (or behind its argument), or into the scale
of the attention logits. At the base width the edited model is the same as before.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError
from ..findings.model import SourceEdit, SourceFix
from ..fixes.attention import attention_at, attention_edits, head_factor, own_heads
from ..fixes.edited import diff_text
from ..fixes.places import Factor, Source, called
from ..fixes.propose import same_calls
from ..fixes.watch import Writers, watch
from ..locations import repository_root
from ..plan.plan import Plan
from ..plan.scales import Hook
from ..targets.probe import Target
from ..targets.userfiles import is_user_file
from .multipliers import LOGITS


def source_fixes(target: Target, plan: Plan) -> dict[Hook, SourceFix]:
    """The edit for every multiplier of the plan that has one; none for those inside installed packages.

    Nor for the pairs around a module by which Table 9 multiplies a bias and nothing else: these are no improvement.
    """
    spots = {
        hook: hook.where
        for hook in plan.hooks
        if hook.where is not None and not hook.depth and is_user_file(hook.where[0]) and not _is_paired(plan, hook)
    }
    if not spots:
        return {}
    try:
        watched = watch(target, list(spots.values()))
    except UserError:
        return {}
    found: dict[Hook, SourceFix] = {}
    for hook, spot in spots.items():
        edits = _edits(plan, hook, spot, watched, own_heads(target))
        if edits:
            found[hook] = SourceFix(f"multiply by m^{hook.exponent:g}", tuple(dict.fromkeys(edits)))
    return found


def source_diff(fixes: Mapping[Hook, SourceFix]) -> str:
    """The edits of several multipliers as one unified diff; of two on one place, the first."""
    chosen: list[SourceFix] = []
    for fix in fixes.values():
        try:
            diff_text([*chosen, fix], Path.cwd())
        except ValueError:
            continue
        chosen.append(fix)
    return diff_text(chosen, repository_root(Path.cwd()))


def _edits(
    plan: Plan, hook: Hook, spot: tuple[str, int], watched: Writers, heads: int | None
) -> list[SourceEdit] | None:
    name = hook.module.rpartition(".")[2]
    try:
        source = Source(spot[0])
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
    if hook.note == LOGITS:
        node, width = attention_at(source, spot[1]), watched.width(spot, plan.width_name)
        if node is None:
            return None
        scale = head_factor(watched, spot, node, plan.base_width, hook.exponent, heads)
        scale = scale or (Factor(width, plan.base_width, hook.exponent) if width else None)
        return attention_edits(source, node, scale) if scale else None
    here = source.on_line(spot[1], lambda node: called(node) == name)
    if not here:
        return None
    sites = same_calls(source, here[0])
    width = watched.width(spot, plan.width_name, len(sites) > 1, name)
    if width is None:
        return None
    factor = Factor(width, plan.base_width, hook.exponent)
    return [edit for site in sites for edit in source.scaled(_multiplied(site, hook), factor)]


def _is_paired(plan: Plan, hook: Hook) -> bool:
    sides = {other.on for other in plan.hooks if other.module == hook.module and other.note != LOGITS}
    return hook.note != LOGITS and len(sides) > 1


def _multiplied(site: ast.expr, hook: Hook) -> ast.expr:
    """The call's first argument, or the call."""
    return site.args[0] if hook.on == "input" and isinstance(site, ast.Call) and site.args else site
