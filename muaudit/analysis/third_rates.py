"""Learning rates whose exponents two probes leave in doubt, held against a third.

A learning rate is a number that somebody wrote, so its exponent is exact: what has the same slope between the first
two probes as between the second and a third is a power of width, whichever it is (thirds arise behind cubes), and what
has not is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..errors import UserError
from ..findings.exponents import simple
from ..optimizers.trained import Trained
from ..thresholds import SAME


def with_third(trained: Mapping[str, Trained], read: Callable[[], Mapping[str, Trained]]) -> dict[str, Trained]:
    """`trained`, with exponents also where they are no multiple of 1/4.

    read: the same between the second probe and a third; called where it is needed. It may raise UserError: what two
    probes showed stands then.
    """
    odd = [name for name, how in trained.items() if how.lr_exponent is None and how.lr]
    if not odd:
        return dict(trained)
    try:
        later = read()
    except UserError:
        return dict(trained)
    found = {
        name: replace(trained[name], lr_exponent=simple(trained[name].raw_lr_exponent))
        for name in odd
        if name in later and abs(later[name].raw_lr_exponent - trained[name].raw_lr_exponent) < SAME
    }
    return {**trained, **found}
