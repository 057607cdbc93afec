"""Learning rates that follow the table of another optimizer: one mistake, however many tensors it shows in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...findings.discrepancy import Discrepancy
from ...optimizers import families as all_families
from ..cost import CAUSE
from ..explanation import Edited, Explanation

_SPARED = frozenset(("lr", "multiplier"))


def _other(family: str) -> str:
    """The family whose table one may have taken for that of this one; "" where this one has none."""
    tables = {name: each.table for name, each in all_families().items() if each.table}
    return next((name for name in tables if name != family), "") if family in tables else ""


def other_table(plain: Explanation) -> Iterator[Edited]:
    """Every parameter judged as if it were trained by the optimizer whose table this may be.

    One learning rate for everything follows no table, and one that is wrong is just that.
    """
    trained = plain.measured.trained
    families = {how.family for how in trained.values()}
    wrong = [d for d in plain.discrepancies if d.aspect in _SPARED]
    if len(families) != 1 or len(wrong) < 2 or len({round(how.raw_lr_exponent, 3) for how in trained.values()}) < 2:
        return
    (family,) = families
    wanted = _other(family)
    if wanted:
        first, names = wrong[0], tuple(dict.fromkeys(name for d in wrong for name in d.tensors))
        found = Discrepancy("table", None, names, "", first.found, first.expected, first.file, first.line,
                            optimizer=family, detail=wanted)  # fmt: skip
        other = {name: replace(how, family=wanted, measured=None) for name, how in trained.items()}
        yield Edited((found,), CAUSE + 1, trained=other, spares=_SPARED)
