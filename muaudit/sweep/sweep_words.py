"""What a verdict is called: the same words above a table, in a title of a plot and from Python. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..thresholds import TAIL, UNTOLD_DRIFT
from .curves import Curves
from .over import OVER
from .paired import Interval
from .ranges import shown
from .sweep_verdict import Status, SweepVerdict

SURE = f"{100 * (1 - 2 * TAIL):.0f} %"
"""What intervals are of: `TAIL` on either side."""

_WORDS: dict[Status, str] = {"pass": "transfers", "fail": "does not transfer", "undecided": "undecided"}


def verdict_words(verdict: SweepVerdict, seconds: float | None = None) -> str:
    """`transfers`, `does not transfer` or `undecided: 4 more seeds (about 3 minutes)`.

    seconds: that one further seed takes, None where that is not known.
    """
    words = _WORDS[verdict.status]
    if not verdict.more:
        return words
    about = "" if seconds is None else f" (about {duration(seconds * verdict.more)})"
    return f"{words}: {verdict.more} more seed{'s' * (verdict.more > 1)}{about}"


def cost_words(verdict: SweepVerdict) -> str:
    """`width 1024 at the best lr of width 64: loses 0.3 % of loss (97 % interval 0.1 to 0.6 %, 3 seeds)`."""
    curves = verdict.curves
    what = f"{curves.along} {curves.widths[-1]} at the best {curves.knob} of {curves.along} {curves.widths[0]}"
    return f"{what}: {share_words(verdict.lost, verdict.seeds)}"


def drift_words(verdict: SweepVerdict) -> str:
    """`drift over widths: 0.50 ± 0.25 factors of two (×1.42)`."""
    if math.isnan(verdict.drift):
        return f"drift over {OVER[verdict.curves.along].plural}: unknown"
    if verdict.drift_error > UNTOLD_DRIFT:
        return f"drift over {OVER[verdict.curves.along].plural}: not known (± {verdict.drift_error:.2g} factors of two)"
    sign, several = "at least " if verdict.at_least else "", OVER[verdict.curves.along].plural
    return (
        f"drift over {several}: {sign}{verdict.drift:.2f} ± {verdict.drift_error:.2f} factors of two "
        f"(×{2**verdict.drift:.3g})"
    )


def larger(curves: Curves) -> str:
    """`wider`, or `deeper`, or what else there is more of."""
    return OVER[curves.along].larger


def share_words(lost: Interval | None, seeds: int, brief: bool = False) -> str:
    """What it loses, and how sure that is; brief: for where there is little room."""
    if lost is None:
        return "unknown"
    runs = f"{seeds} seed{'s' * (seeds > 1)}"
    if math.isinf(lost.value):
        return f"diverges ({runs})"
    value = f"loses {_percent(lost.value)} %" + ("" if brief else " of loss")
    if math.isinf(lost.high):
        return f"{value} ({runs}: no interval)"
    sure = "" if brief else f"{SURE} interval "
    return f"{value} ({sure}{_percent(lost.low)} to {_percent(lost.high)} %, {runs})"


def duration(seconds: float) -> str:
    """`40 seconds`, `3 minutes`, `2.5 hours`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} second{'s' * (round(seconds) > 1)}"
    if seconds < 5400:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"


def title(titles: Mapping[str, str], verdict: SweepVerdict, seconds: float | None = None) -> str:
    """`GPT as it is: lr does not transfer`."""
    return f"{titles[verdict.curves.variant]}: {verdict.curves.knob} {verdict_words(verdict, seconds)}"


def tie_words(verdict: SweepVerdict) -> str:
    """The values that may be the narrowest width's best, where there are several."""
    return ", ".join(shown(verdict.curves.values[place]) for place in verdict.ties)


def _percent(value: float) -> str:
    return f"{100 * value:.2f}" if value < 0.1 else f"{100 * value:.3g}"
