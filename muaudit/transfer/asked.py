"""A transfer as it was asked for. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from muaudit.transfer.run_size import RunSize


@dataclass(frozen=True)
class Asked:
    """style: table, yaml, json or plan; columns: the terminal's."""

    start: RunSize
    to: RunSize
    given: Mapping[str, float]
    recipe: str | None = None
    style: str = "table"
    columns: int | None = None
