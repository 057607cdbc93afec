"""What `muaudit.coord_check` returns where it looks at something else than the sizes of activations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ..report.layout import Line
from ..training.ladder import Rung, ladder_data, ladder_lines
from ..training.precision import PrecisionRun
from ..training.precision_lines import precision_data, precision_lines
from ..training.spectral import JudgedNorm, SpectralRun, judge_spectral
from ..training.spectral_lines import spectral_lines, status_of, to_json
from .shown import Shown


class SpectralCheck(Shown):
    """Norms of weights and of their changes (`spectral=True`). `ok`: whether none of them fails."""

    def __init__(self, run: SpectralRun) -> None:
        self.run, self.judged = run, judge_spectral(run)

    @property
    def ok(self) -> bool:
        """Whether no norm fails."""
        return status_of(self.judged) != "fail"

    def rows(self) -> list[dict[str, Any]]:
        """A row for every tensor and norm: the measured slope over widths, and the one that is needed."""

        def row(name: str, role: str, needed: float, of: str, norm: JudgedNorm) -> dict[str, Any]:
            slopes = {"slope": norm.fit.slope, "low": norm.fit.low, "high": norm.fit.high} if norm.fit else {}
            return {"tensor": name, "role": role, "of": of, "needed": needed, **slopes, "status": norm.status}

        return [
            row(each.norms.name, each.norms.role, each.norms.needed, of, norm)
            for each in self.judged
            for of, norm in (("weight", each.weight), ("change", each.change))
        ]

    def to_dict(self) -> dict[str, Any]:
        """The document of `coord-check --spectral --format json`, `muaudit.spectral-check/1`."""
        document: dict[str, Any] = json.loads(to_json(self.run, self.judged))
        return document

    @property
    def headline(self) -> str:
        """One line that says how it went."""
        failing = sum(each.status == "fail" for each in self.judged)
        return f"spectral check of {self.run.describe}: {status_of(self.judged)} ({failing} of {len(self.judged)} fail)"

    def _lines(self) -> Iterable[Line]:
        return spectral_lines(self.run, self.judged)


class PrecisionCheck(Shown):
    """What smaller formats of numbers could not hold (`precision="fp16"`). `ok`: whether every width fits."""

    def __init__(self, run: PrecisionRun) -> None:
        self.run = run

    @property
    def ok(self) -> bool:
        """Whether every width fits into every format."""
        return not any(each.fails for each in self.run.held)

    def rows(self) -> list[dict[str, Any]]:
        """A row for every width and format: shares of all entries at the worst step."""
        return [
            {"width": each.width, "precision": each.precision, "loss_scale": each.scale, "fails": each.fails,
             **{what: found.share for what, found in each.lost.items()}}
            for each in self.run.held
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The document of `coord-check --precision NAME --format json`, `muaudit.precision-check/1`."""
        return precision_data(self.run)

    @property
    def headline(self) -> str:
        """One line that says how it went."""
        failing = [f"{each.precision} at width {each.width}" for each in self.run.held if each.fails]
        return f"precision of {self.run.describe}: {', '.join(failing) or 'nothing'} fails"

    def _lines(self) -> Iterable[Line]:
        return precision_lines(self.run)


class LadderCheck(Shown):
    """µP one ingredient at a time (`ladder=True`). `ok`: whether the last rung passes."""

    def __init__(self, rungs: Sequence[Rung]) -> None:
        self.rungs = list(rungs)

    @property
    def ok(self) -> bool:
        """Whether the last rung passes."""
        return self.rungs[-1].verdict.exit_code == 0

    def rows(self) -> list[dict[str, Any]]:
        """The rungs."""
        listed: list[dict[str, Any]] = self.to_dict()["rungs"]
        return listed

    def to_dict(self) -> dict[str, Any]:
        """The document of `coord-check --ladder --format json`, `muaudit.ladder/1`."""
        return ladder_data(self.rungs)

    @property
    def headline(self) -> str:
        """One line that says how it went."""
        stages = ", ".join(f"{each.title} {each.verdict.status}" for each in self.rungs)
        return f"ladder of {self.rungs[0].run.describe}: {stages}"

    def _lines(self) -> Iterable[Line]:
        return ladder_lines(self.rungs)
