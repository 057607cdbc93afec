"""The words that rules share. In every fix, m is the width multiplier, width / base_width."""

from __future__ import annotations

from collections.abc import Iterable
from math import isinf, isnan
from typing import TYPE_CHECKING

from muaudit.findings.power import number, power
from muaudit.thresholds import TOLERANCE

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy

READOUT_BIAS = "readout bias"  # the detail of a finding about the bias of a readout that stops learning
WHERE_M = "with m = width / base_width"
ROLE_NOUNS = {
    "input": "input weights",
    "hidden": "hidden weights",
    "output": "readout weights",
    "bias": "bias",
    "gain": "gain",
    "positional": "positional table",
    "scalar": "scalar",
}


def subject(d: Discrepancy) -> str:
    """`hidden weights blocks.*.mlp.up.weight (×12)`."""
    noun = d.noun or ROLE_NOUNS.get(d.role or "", "")
    tied = "(tied)" if d.tied else ""
    name = d.pattern or (d.tensors[0] if len(d.tensors) == 1 else "")
    if not noun and not name and len(d.tensors) > 1:
        noun = "parameters"
    count = f"(×{len(d.tensors)})" if len(d.tensors) > 1 else ""
    return " ".join(part for part in (noun, tied, name, count) if part)


def place(d: Discrepancy) -> str:
    """` in blocks.*.attn`, or nothing when the module is not known."""
    name = d.module or d.pattern
    return f" in {name}" if name else ""


def needs(d: Discrepancy) -> str:
    """`n^-1/2`, or `n^-1 or smaller` where the expectation is an upper bound."""
    return power(d.expected) + (" or smaller" if d.bound else "")


def measured(d: Discrepancy, what: str = "measured") -> str:
    """` (measured 0.02 → 0.02)`, from the numbers at the probes."""
    return f" ({what} {' → '.join(map(number, d.values))})" if d.values else ""


def gap(d: Discrepancy) -> float:
    """How many powers of width are missing: expected − found (0 where that has no value)."""
    difference = d.expected - d.found
    return 0.0 if isnan(difference) else difference


def scaled(what: str, exponent: float, unit: str = "m") -> str:
    """`lr / m`, `lr * m`, `std * m**-0.5`: `what` corrected by unit^exponent."""
    if exponent == 0 or isinf(exponent):
        return what
    if abs(exponent) == 1:
        return f"{what} {'*' if exponent > 0 else '/'} {unit}"
    return f"{what} * {unit}**{number(exponent)}"


def by_m(exponent: float, whose: str) -> str:
    """`divide its learning rate by m`, `multiply its learning rate by m**-0.5`."""
    if isinf(exponent):
        return f"make {whose} {'other than zero' if exponent > 0 else 'zero'}"
    if abs(exponent) == 1:
        return f"{'multiply' if exponent > 0 else 'divide'} {whose} by m"
    return f"multiply {whose} by m**{number(exponent)}"


def without_constant(d: Discrepancy) -> bool:
    """Whether init and learning rate are both off as by a constant, and no constant that depends on width is there."""
    return d.aspect == "multiplier" and abs(d.found) < TOLERANCE and len(d.values) == 2


def off_by_a_constant(d: Discrepancy) -> str:
    """`multiplier ∝ n^1, needs n^0`, or what is off in its place where there is none in the code."""
    if not without_constant(d):
        return f"multiplier ∝ {power(d.found)}, needs {needs(d)}"
    init, lr = d.values
    if abs(init - lr) < TOLERANCE:
        return f"initialization and learning rate are both {_too(init)}"
    return f"its initialization is {_too(init)}, and so is its learning rate by {power(abs(lr))}"


def undone(d: Discrepancy) -> str:
    """The fix of what is off as by a constant that is not there."""
    init, lr = d.values
    both = by_m(-init, "its init and its learning rate") if abs(init - lr) < TOLERANCE else (
        f"{by_m(-init, 'its init')} and {by_m(-lr, 'its learning rate')}")  # fmt: skip
    return f"{both}, {WHERE_M}; or {by_m(gap(d), 'its output')}"


def _too(exponent: float) -> str:
    return f"{power(abs(exponent))} too {'large' if exponent > 0 else 'small'}"


def constant_value(values: Iterable[float]) -> float | None:
    """The first of the numbers when they do not change with width, else None."""
    found = list(values)
    if not found or not found[0] or max(found) - min(found) > 0.05 * max(map(abs, found)):
        return None
    return found[0]


def drifts(what: str, exponent: float, plural: bool = True) -> str:
    """`activations grow like n^1/2`, `the result shrinks like n^-1/2`."""
    verb = "grow" if exponent > 0 else "shrink"
    return f"{what} {verb}{'' if plural else 's'} {like(exponent)}"


def like(exponent: float) -> str:
    """`like n^1/2`, and words for what is no power."""
    if isinf(exponent):
        return "without bound" if exponent > 0 else "to zero"
    return f"like {power(exponent)}"


def eps_and_gradients(d: Discrepancy, at: str, where: str) -> str:
    """` (eps 1e-8, gradients about 2e-9 at the target width)`; empty where the sizes are not known."""
    if len(d.values) != 2:
        return ""
    eps, gradient = map(number, d.values)
    return f" (eps {eps}{at}, gradients about {gradient} at {where})"
