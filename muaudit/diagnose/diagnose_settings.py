"""What a diagnosis runs. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from muaudit.errors import UserError
from muaudit.suggest import nearest
from muaudit.training.precisions import PRECISIONS
from muaudit.training.run_settings import RunSettings, check_settings


@dataclass(frozen=True)
class DiagnoseSettings:
    """The run: steps, seed, device, dtype of the weights; and the precision that numbers are held against.

    precision: "fp16" or "bf16" counts what would over- or underflow in it; "" counts nothing.
    """

    steps: int = 100
    seed: int = 0
    device: str = "cpu"
    dtype: str = "fp32"
    precision: str = ""

    @property
    def run(self) -> RunSettings:
        """As a coordinate check has them, of one seed."""
        return RunSettings((), self.steps, 1, self.seed, self.device, self.dtype)


def check_diagnose(settings: DiagnoseSettings) -> DiagnoseSettings:
    """The settings. Raises UserError where they do not fit."""
    check_settings(settings.run)
    if settings.precision and settings.precision not in PRECISIONS:
        unknown = f"unknown precision {settings.precision!r}"
        raise UserError(unknown, nearest(settings.precision, PRECISIONS, "precisions"))
    return settings
