"""The model as it is against its conversion: what each comes to, tuned where it is used, or small. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..thresholds import TAIL
from .optimum import Optimum
from .paired import Interval, difference
from .sweep_verdict import SweepVerdict

ORIGINAL, CONVERTED = "original", "converted"


@dataclass(frozen=True)
class Gap:
    """Losses at the widest width. as_is, converted: at the best value of that width; carried: converted, at the best
    value of the narrowest width, None where it diverges or was not run.

    more: the share by which the converted one's best is above that of the model as it is, seed by seed.
    """

    width: int
    narrow: int
    as_is: float
    converted: float
    carried: float | None
    more: Interval
    along: str = "width"


def gap(verdicts: Sequence[SweepVerdict]) -> Gap | None:
    """None where not both were swept, or nothing was learned."""
    found: Mapping[str, SweepVerdict] = {v.curves.variant: v for v in verdicts if v.curves.knob == "lr"}
    ours, theirs = found.get(CONVERTED), found.get(ORIGINAL)
    if ours is None or theirs is None or ours.optima[-1] is None or theirs.optima[-1] is None:
        return None
    here, there = ours.curves.counted()[-1], theirs.curves.counted()[-1]
    best, other = ours.optima[-1], theirs.optima[-1]
    scale = max(abs(other.loss), 1e-12)
    found_ = difference(0, here[:, best.index], there[:, other.index], scale, math.inf)
    if found_ is None:
        return None
    first = ours.optima[0]
    carried = float(ours.curves.means()[-1, first.index]) if first is not None else math.nan
    return Gap(
        ours.curves.widths[-1], ours.curves.widths[0], other.loss, best.loss,
        carried if np.isfinite(carried) else None,
        Interval((best.loss - other.loss) / scale, found_.low(TAIL), found_.high(TAIL)), ours.curves.along,
    )  # fmt: skip


def schedule_words(verdicts: Sequence[SweepVerdict], titles: Mapping[str, str]) -> list[str]:
    """What schedules come to at the widest width, each tuned there, where several are compared: the best one first."""
    parts: dict[str, list[tuple[SweepVerdict, Optimum]]] = {}
    for each in verdicts:
        what, comma, _ = titles.get(each.curves.variant, "").rpartition(", ")
        best = each.optima[-1]
        if comma and each.curves.knob == "lr" and best is not None:
            parts.setdefault(what, []).append((each, best))
    found = []
    for what, tuned in parts.items():
        tuned.sort(key=lambda pair: pair[1].loss)
        shown = [f"{titles[each.curves.variant].rpartition(', ')[2]} {best.loss:.4g}" for each, best in tuned]
        (ours, best), (theirs, worst) = tuned[0], tuned[-1]
        here, there = ours.curves.counted()[-1][:, best.index], theirs.curves.counted()[-1][:, worst.index]
        apart = difference(0, there, here, max(abs(best.loss), 1e-12), math.inf)
        known = apart is not None and math.isfinite(apart.low(TAIL))
        sure = "no interval" if not known or apart is None else (
            f"{100 * apart.low(TAIL):.2g} to {100 * apart.high(TAIL):.2g} % higher")  # fmt: skip
        told = f" ({sure})" if len(tuned) > 1 else ""
        along = ours.curves.along
        found.append(f"{what} at {along} {ours.curves.widths[-1]}, each tuned there: {', '.join(shown)}{told}")
    return found


def gap_words(found: Gap) -> list[str]:
    """For people."""
    more, width = found.more, found.width
    carried = "" if found.carried is None else f", carried from {found.along} {found.narrow} {found.carried:.4g}"
    text = (
        f"at {found.along} {width}: as it is, tuned there, {found.as_is:.4g}; converted, tuned there, "
        f"{found.converted:.4g}{carried}"
    )
    share = f"{100 * abs(more.value):.2g} %"
    if math.isinf(more.high):
        sure = "one or two seeds: no interval"
    else:
        sure = f"{100 * more.low:.2g} to {100 * more.high:.2g} %"
    if more.value <= 0:
        return [text, f"the conversion costs nothing: its best loss is {share} lower ({sure})"]
    doubt = "" if more.low > 0 or math.isinf(more.high) else ", within its error"
    return [text, f"the conversion's best loss is {share} higher ({sure}){doubt}"]
