"""What in the parametrization lets a quantity leave its range: the finding of the audit that fits its place."""

from __future__ import annotations

import math

from ..findings.model import Report, Violation
from ..findings.names import pattern_of
from .out_of_range import Departure


def cause(left: Departure, report: Report) -> Violation | None:
    """The error, or warning, that is nearest to the quantity: of its tensor, its module, or what comes before it."""
    found = [each for each in report.violations if each.severity in ("error", "warning")]
    if left.quantity.kind == "eps":
        return next((each for each in found if each.rule == "MUP311"), None)
    found = [each for each in found if each.rule != "MUP311"]
    if left.quantity.kind == "logits":
        of_logits = [each for each in found if not each.tensors and _within(left.quantity.module, each.module)]
        if of_logits:
            return of_logits[0]
    own = [each for each in found if any(_holds(left.quantity.module, name) for name in each.tensors)]
    if own:
        return max(own, key=_off)
    before = [each for each in found if _before(each, left, report)]
    return max(before, key=_off, default=None)


def _within(module: str, pattern: str) -> bool:
    return not pattern or pattern_of(module).startswith(pattern_of(pattern))


def _holds(module: str, tensor: str) -> bool:
    """Whether a parameter is in the module itself; the root holds all."""
    return tensor.rpartition(".")[0] == module if module else False


def _before(each: Violation, left: Departure, report: Report) -> bool:
    """Whether the tensors of a finding are used no later than the quantity is computed, as far as the report knows.

    What the model holds itself, and no module of it, is used anywhere.
    """
    order = [row.module for row in report.activations]
    place = order.index(left.quantity.module) if left.quantity.module in order else len(order)
    holders = {name.rpartition(".")[0] for name in each.tensors} - {""}
    places = [at for at, module in enumerate(order) if module in holders]
    return not places or min(places) <= place


def _off(each: Violation) -> float:
    off = abs((each.found_exponent or 0.0) - (each.expected_exponent or 0.0))
    return 0.0 if math.isnan(off) else off
