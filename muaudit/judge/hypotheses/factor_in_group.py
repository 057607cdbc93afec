"""A factor that the param groups hold beside their learning rates, under a name of the author's own, and nothing reads.

Learning rates that are all right once it is multiplied by, or divided by, were meant so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...findings.discrepancy import Discrepancy
from ...findings.names import fold
from ...optimizers.trained import Trained
from ..cost import CAUSE
from ..explanation import Edited, Explanation

_SPARED = frozenset(("lr", "multiplier"))


def factor_in_group(plain: Explanation) -> Iterator[Edited]:
    """Every parameter judged as if its rate were multiplied, or divided, by one key of its group."""
    trained = plain.measured.trained
    wrong = [d for d in plain.discrepancies if d.aspect in _SPARED]
    for key in dict.fromkeys(key for how in trained.values() for key, _ in how.unread) if wrong else ():
        for power in (1.0, -1.0):
            other = {name: _times(how, power * dict(how.unread).get(key, 0.0)) for name, how in trained.items()}
            names = tuple(name for name, how in other.items() if how is not trained[name])
            if names:
                first = other[names[0]]
                found = Discrepancy(
                    "group_factor", None, names, fold(list(names)) if len(names) < 2 else "",
                    round(trained[names[0]].raw_lr_exponent, 3), round(first.raw_lr_exponent, 3), None, None,
                    optimizer=first.optimizer, detail=key if power > 0 else f"1/{key}",
                )  # fmt: skip
                yield Edited((found,), CAUSE + 1, trained=other, spares=_SPARED)


def _times(how: Trained, exponent: float) -> Trained:
    if not exponent or how.lr_exponent is None:
        return how
    return replace(how, lr_exponent=how.lr_exponent + exponent, raw_lr_exponent=how.raw_lr_exponent + exponent)
