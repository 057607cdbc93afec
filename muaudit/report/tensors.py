"""`--tensors`: the full table of parameters, folded over repeated blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from muaudit.findings.model import TensorRow
from muaudit.findings.power import number, power
from muaudit.report.layout import Line, columns

HEADER = ("tensor", "shape", "kind", "role", "init", "needs", "multiplier", "lr", "needs", "effective lr")
_OPTIONAL = (2, 1, 9, 3, 6)  # kind, shape, effective lr, role, multiplier: what a narrow terminal goes without
_OPTIONAL_OVER_DEPTH = (1, 7, 4)  # shape, effective lr, multiplier
_INDEX = re.compile(r"(?<![^.])\d+(?![^.])")


def tensor_table(rows: Iterable[TensorRow], room: int | None = None, symbol: str = "n") -> list[Line]:
    """One row a tensor, or one for all of the same pattern that agree in everything.

    room: the terminal's width. symbol: what exponents are powers of; over depth, L, no tensor has a kind or a role.
    """
    cells = [HEADER, *(_cells(name, row, symbol) for name, row in folded(rows))]
    if symbol != "n":
        return columns([row[:2] + row[4:] for row in cells], hang=4, room=room, optional=_OPTIONAL_OVER_DEPTH)
    return columns(cells, hang=4, room=room, optional=_OPTIONAL)


def folded(rows: Iterable[TensorRow]) -> list[tuple[str, TensorRow]]:
    """(name or `blocks.*.up.weight (×12)`, row), in order of first appearance: an odd block out keeps its own row."""
    return [(label(key.name, names), key) for key, names in alike(rows).items()]


def alike(rows: Iterable[TensorRow]) -> dict[TensorRow, list[str]]:
    """The names of tensors of one pattern that agree in everything, by the row that holds for all of them."""
    groups: dict[TensorRow, list[str]] = {}
    for row in rows:
        key = replace(row, name=_INDEX.sub("*", row.name), file=None, line=None)
        groups.setdefault(key, []).append(row.name)
    return groups


def label(pattern: str, names: list[str]) -> str:
    """`blocks.*.up.weight (×12)`, or the name where there is one."""
    return names[0] if len(names) == 1 else f"{pattern} (×{len(names)})"


def _cells(name: str, row: TensorRow, symbol: str) -> tuple[str, ...]:
    shape = "×".join(map(str, row.shape)) or "()"
    init, rates = (row.init_exponent, row.init_required), (row.lr_exponent, row.lr_required)
    exponents = [_exponent(each, symbol) for each in (*init, row.multiplier_exponent, *rates)]
    rate = "" if row.lr is None else number(row.lr)
    return (name, shape, row.kind, ", ".join(row.roles), *exponents, rate)


def _exponent(value: float | None, symbol: str) -> str:
    return "-" if value is None else power(value, symbol)
