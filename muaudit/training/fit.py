"""Slopes in log-log, with a confidence interval from the scatter over seeds and around the line over widths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..thresholds import LOCAL
from .measurement import Array

# Student's t, 97.5 %: degrees of freedom → quantile
_T = {
    1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 10: 2.23, 12: 2.18, 15: 2.13,
    20: 2.09, 30: 2.04,
}  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """slope: at the widest widths, with its 95 % interval; overall: over all of them."""

    slope: float
    low: float
    high: float
    overall: float

    @property
    def half_width(self) -> float:
        """Half the interval."""
        return (self.high - self.low) / 2


def fit(widths: Sequence[int], values: Array) -> Fit | None:
    """The slope of `values` [width, seed] against width; None with fewer than two widths of positive finite values."""
    usable = np.isfinite(values) & (values > 0)
    rows = np.flatnonzero(usable.any(axis=1))
    if len(rows) < 2:
        return None
    overall, _ = _line(widths, values, usable, rows)
    slope, error = _line(widths, values, usable, rows[-LOCAL:])
    return Fit(slope, slope - error, slope + error, overall)


def _line(widths: Sequence[int], values: Array, usable: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """Least squares: (slope, half of its 95 % interval)."""
    x = np.concatenate([np.full(usable[row].sum(), np.log(widths[row])) for row in rows])
    y = np.concatenate([np.log(values[row][usable[row]]) for row in rows])
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    freedom = len(x) - 2
    if freedom < 1:
        return slope, float("inf")
    residual = y - y.mean() - slope * (x - x.mean())
    return slope, student(freedom) * float(np.sqrt((residual**2).sum() / freedom / spread))


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t."""
    return _T[max(key for key in _T if key <= freedom)] if freedom < 40 else 1.98
