"""The formats of numbers that a run can be held against. Free of torch."""

from __future__ import annotations

from muaudit.errors import UserError
from muaudit.suggest import nearest

PRECISIONS = ("fp16", "bf16")


def parse_precisions(text: str) -> tuple[str, ...]:
    """`fp16,bf16`, or `all` of them. Raises UserError."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if names == ("all",):
        return PRECISIONS
    for name in names:
        if name not in PRECISIONS:
            raise UserError(f"unknown precision {name!r}", nearest(name, PRECISIONS, "precisions"))
    if not names:
        raise UserError("--precision names nothing", f"of {', '.join(PRECISIONS)}, or all")
    return names
