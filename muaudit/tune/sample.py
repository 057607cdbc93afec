"""One draw of a search. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """What one run is trained with. values: as in `Training`; schedule: empty where no schedules are searched."""

    values: tuple[tuple[str, float], ...]
    schedule: str = ""

    @property
    def hp(self) -> dict[str, float]:
        """The hyperparameters by name, without the schedule."""
        return dict(self.values)

    @property
    def all(self) -> dict[str, float | str]:
        """All that was drawn, the schedule last."""
        return {**self.hp, **({"schedule": self.schedule} if self.schedule else {})}
