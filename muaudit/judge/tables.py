"""Learning rates that follow the table of another optimizer: one mistake, however many tensors it shows in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..findings.discrepancy import Discrepancy
from ..optimizers import families as all_families
from ..scaling.optimizers import Trained


def _other(family: str) -> str:
    """The family whose table one may have taken for that of this one; "" where this one has none."""
    tables = {name: each.table for name, each in all_families().items() if each.table}
    return next((name for name in tables if name != family), "") if family in tables else ""


def table_in_words(
    found: list[Discrepancy],
    trained: Mapping[str, Trained],
    again: Callable[[Mapping[str, Trained]], list[Discrepancy]],
) -> list[Discrepancy]:
    """`found`, with one finding in place of all about learning rates where another optimizer's table explains them.

    again: judges the program as if it were trained otherwise.
    """
    families = {how.family for how in trained.values()}
    wrong = [d for d in found if d.aspect in ("lr", "multiplier")]
    names = tuple(dict.fromkeys(name for d in wrong for name in d.tensors))
    if len({round(how.raw_lr_exponent, 3) for how in trained.values()}) < 2:
        return found  # one learning rate for everything follows no table
    if len(families) != 1 or len(wrong) < 2:
        return found
    (family,) = families
    wanted = _other(family)
    if not wanted:
        return found
    other = again({name: replace(how, family=wanted, measured=None) for name, how in trained.items()})
    if any(d.aspect in ("lr", "multiplier") for d in other) or len(other) >= len(found) - 1:
        return found
    first = wrong[0]
    return [*other, Discrepancy("table", None, names, "", first.found, first.expected, first.file, first.line,
                                optimizer=family, detail=wanted)]  # fmt: skip
