"""A diagnosis: what left its range at the large width, what lets it, and whether the small model shows the same."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UserError
from ..findings.model import Report, Violation
from .causes import cause
from .out_of_range import Departure, leaving
from .recorded import Recorded


@dataclass(frozen=True)
class Diagnosis:
    """What is known of a run at a large width, and of its reproduction at a small one.

    describe: what was trained. small: None where nothing went wrong, or no plan could be made, which `why_not` says.
    report: the audit; None where there is none, which `no_audit` says.
    """

    describe: str
    width_name: str
    optimizer: str
    large: Recorded
    small: Recorded | None = None
    report: Report | None = None
    no_audit: str = ""
    why_not: str = ""
    precision: str = ""

    @property
    def left(self) -> list[Departure]:
        """All that left its range at the large width, the first of it first."""
        return leaving(self.large)

    @property
    def first(self) -> Departure | None:
        """What left its range first."""
        return next(iter(self.left), None)

    @property
    def cause(self) -> Violation | None:
        """The finding of the audit that lets it."""
        return cause(self.first, self.report) if self.first is not None and self.report is not None else None

    @property
    def small_first(self) -> Departure | None:
        """What left its range first at the small width."""
        return next(iter(leaving(self.small)), None) if self.small is not None else None

    @property
    def same(self) -> Departure | None:
        """What left its range first at the large width, where it leaves it at the small one; None where it does not."""
        if self.first is None or self.small is None:
            return None
        place = self.first.quantity.kind, self.first.quantity.name
        found = (each for each in leaving(self.small) if (each.quantity.kind, each.quantity.name) == place)
        return next(found, None)

    @property
    def reproduced(self) -> bool:
        """Whether it does."""
        return self.same is not None

    @property
    def exit_code(self) -> int:
        """1 where something left its range or the loss was lost."""
        return int(self.first is not None or self.large.diverged is not None)


def checked_widths(large: int, small: int) -> None:
    """Raise UserError where the small width is no smaller."""
    if small >= large:
        raise UserError(f"the small width is {small}, expected less than {large}",
                        "--to N reproduces at another width, --width N diagnoses another one")  # fmt: skip
