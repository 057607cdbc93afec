"""What a sweep measured, as plain data. Free of torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .along import Along, wider_along
from .curves import Curves
from .gap import gap
from .sweep_verdict import SweepVerdict, at

SCHEMA = "muaudit.sweep-report/1"
INTERRUPTED = "interrupted after "  # how the notice begins


@dataclass(frozen=True)
class SweepResult:
    """A sweep. titles: variant → what people call it; setup: one line; main: whose verdict the exit code is.

    seconds: (width, what a run took here) by width; empty where all runs were there already.
    base_init: how large hidden weights start at the base width, where there is a conversion. along: losses along
    training, at the best learning rate of the narrowest width.
    """

    describe: str
    setup: str
    width_name: str
    titles: Mapping[str, str]
    main: str
    curves: tuple[Curves, ...]
    results: str
    notices: tuple[str, ...] = ()
    seconds: tuple[tuple[int, float], ...] = ()
    base_init: str = ""
    along: tuple[Along, ...] = ()

    def seconds_of_seed(self, verdict: SweepVerdict) -> float | None:
        """What one more seed of the runs that would decide takes; None where no run's time is known."""
        narrow, wide = verdict.wanted
        known = dict(self.seconds)
        first, last = known.get(verdict.curves.widths[0]), known.get(verdict.curves.widths[-1])
        return None if first is None or last is None else first * len(narrow) + last * len(wide)

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return any(notice.startswith(INTERRUPTED) for notice in self.notices)


def to_json(measured: SweepResult, verdicts: Sequence[SweepVerdict]) -> str:
    """The report as JSON; a loss is null where the run diverged, missing where there was none."""
    data = {
        "schema": SCHEMA,
        "target": measured.describe,
        "setup": measured.setup,
        "width_name": measured.width_name,
        "results": measured.results,
        "notices": list(measured.notices),
        "base_init": measured.base_init,
        "gap": _gap(verdicts),
        "along": [_along(each) for each in measured.along],
        "verdicts": [_verdict(measured, verdict) for verdict in verdicts],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def to_csv(measured: SweepResult) -> str:
    """One line a run."""
    rows = ["variant,hyperparameter,value,lr,width,seed,loss"]
    for curves in measured.curves:
        for (i, j, k), loss in _cells(curves):
            value = curves.values[k]
            lr = value if curves.at is None else curves.at
            shown = "diverged" if math.isinf(loss) else f"{loss!r}"
            rows.append(f"{curves.variant},{curves.knob},{value!r},{lr!r},{curves.widths[i]},{j},{shown}")
    return "\n".join(rows) + "\n"


def _gap(verdicts: Sequence[SweepVerdict]) -> dict[str, Any] | None:
    found = gap(verdicts)
    if found is None:
        return None
    more = {"more": found.more.value, "more_low": _number(found.more.low), "more_high": _number(found.more.high)}
    return {"width": found.width, "as_is": found.as_is, "converted": found.converted, "carried": found.carried, **more}


def _along(along: Along) -> dict[str, Any]:
    losses = [[[_number(float(loss)) for loss in seed] for seed in width] for width in along.losses]
    return {"variant": along.variant, "lr": along.lr, "widths": list(along.widths), "steps": list(along.steps),
            "losses": losses, "wider_is_better": wider_along(along)}  # fmt: skip


def _verdict(measured: SweepResult, verdict: SweepVerdict) -> dict[str, Any]:
    curves = verdict.curves
    return {
        "variant": curves.variant,
        "title": measured.titles[curves.variant],
        "hyperparameter": curves.knob,
        "lr": curves.at,
        "status": verdict.status,
        "reasons": list(verdict.reasons),
        "remarks": list(verdict.remarks),
        "drift_log2": _number(verdict.drift),
        "drift_error": _number(verdict.drift_error),
        "drift_at_least": verdict.at_least,
        "lost": _number(verdict.lost.value if verdict.lost else None),
        "lost_low": _number(verdict.lost.low if verdict.lost else None),
        "lost_high": _number(verdict.lost.high if verdict.lost else None),
        "diverges_at_narrow_optimum": verdict.lost is not None and verdict.lost.value == math.inf,
        "ties": [curves.values[place] for place in verdict.ties],
        "seeds": verdict.seeds,
        "more_seeds": verdict.more,
        "wider_is_better": verdict.wider,
        "wider_detail": verdict.wider_detail,
        "optima": [
            {"width": width, "value": at(curves, o), "log2": o.place, "error": o.error, "loss": o.loss, "edge": o.edge,
             "best_run": curves.values[o.index]} if o else {"width": width, "value": None}
            for width, o in zip(curves.widths, verdict.optima, strict=True)
        ],
        "runs": [
            {"width": curves.widths[i], "seed": j, "value": curves.values[k], "loss": _number(loss)}
            for (i, j, k), loss in _cells(curves)
        ],
    }  # fmt: skip


def _cells(curves: Curves) -> list[tuple[tuple[int, int, int], float]]:
    import numpy as np

    return [
        ((int(i), int(j), int(k)), float(loss))
        for (i, j, k), loss in np.ndenumerate(curves.losses)
        if not math.isnan(loss)
    ]


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
