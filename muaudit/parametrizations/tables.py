"""Tables 3, 8 and 9 of TP5 (Yang et al. 2022, arXiv 2203.03466) and the standard parametrization, as data.

fan_in and fan_out stand for their ratio to the base width; a finite dim counts as a constant. The three
tables are one parametrization in three gauges (TP5 Lemma J.1): `INVARIANTS` holds what they share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Fan = Literal["fan_in", "fan_out"]
Column = Literal["input", "output", "hidden"]
Quantity = Literal["init variance", "multiplier", "SGD lr", "Adam lr"]

COLUMNS: tuple[Column, ...] = ("input", "output", "hidden")
COLUMN_TITLES: Mapping[Column, str] = {
    "input": "input weights, biases, gains",
    "output": "output weights",
    "hidden": "hidden weights",
}
# Which fans grow with width in a column: input weights are finite→infinite, output weights infinite→finite.
_INFINITE: Mapping[Column, frozenset[Fan]] = {
    "input": frozenset({"fan_out"}),
    "output": frozenset({"fan_in"}),
    "hidden": frozenset({"fan_in", "fan_out"}),
}


@dataclass(frozen=True)
class TableEntry:
    """One cell: `fan ** power`, or the constant 1 when the power is 0."""

    fan: Fan = "fan_in"
    power: Fraction = Fraction(0)

    def __str__(self) -> str:
        size = abs(self.power)
        if size == 0:
            return "1"
        text = f"sqrt({self.fan})" if size == Fraction(1, 2) else self.fan + ("²" if size == 2 else "")
        return f"1/{text}" if self.power < 0 else text


@dataclass(frozen=True)
class Table:
    """One parametrization: `rows[quantity][column]`."""

    name: str
    title: str
    source: str
    rows: Mapping[Quantity, Mapping[Column, TableEntry]]


@dataclass(frozen=True)
class Invariants:
    """What is gauge invariant, as exponents of n: init·multiplier, lr·multiplier (Adam), lr·multiplier² (SGD).

    `eps` is Adam's eps over the multiplier (None: it follows the gradient). The readout's `init` is an upper
    bound: faster or zero is right too.
    """

    init: float
    adam: float
    sgd: float
    eps: float | None


def width_exponent(entry: TableEntry, column: Column) -> Fraction:
    """The exponent of width of a cell: its power where its fan grows with width in this column, else 0."""
    return entry.power if entry.fan in _INFINITE[column] else Fraction(0)


def _row(inputs: TableEntry, output: TableEntry, hidden: TableEntry) -> Mapping[Column, TableEntry]:
    return {"input": inputs, "output": output, "hidden": hidden}


_ONE = TableEntry()
_INV_IN = TableEntry("fan_in", Fraction(-1))
_INV_IN_SQUARED = TableEntry("fan_in", Fraction(-2))
_INV_ROOT_IN = TableEntry("fan_in", Fraction(-1, 2))
_IN = TableEntry("fan_in", Fraction(1))
_OUT = TableEntry("fan_out", Fraction(1))
_INV_OUT = TableEntry("fan_out", Fraction(-1))
_ROOT_OUT = TableEntry("fan_out", Fraction(1, 2))
_INV_ROOT_OUT = TableEntry("fan_out", Fraction(-1, 2))
_TP5 = "Yang et al. 2022, Tensor Programs V, arXiv 2203.03466"

TABLE3 = Table(
    "table3",
    "µP, Table 3",
    f"{_TP5}, Table 3",
    {
        "init variance": _row(_INV_IN, _INV_IN_SQUARED, _INV_IN),
        "multiplier": _row(_ONE, _ONE, _ONE),
        "SGD lr": _row(_OUT, _INV_IN, _ONE),
        "Adam lr": _row(_ONE, _INV_IN, _INV_IN),
    },
)
TABLE8 = Table(
    "table8",
    "µP, Table 8 (microsoft/mup)",
    f"{_TP5}, Table 8",
    {
        "init variance": _row(_INV_IN, _ONE, _INV_IN),
        "multiplier": _row(_ONE, _INV_IN, _ONE),
        "SGD lr": _row(_OUT, _IN, _ONE),
        "Adam lr": _row(_ONE, _ONE, _INV_IN),
    },
)
TABLE9 = Table(
    "table9",
    "µP, Table 9 (original formulation of Tensor Programs IV)",
    f"{_TP5}, Table 9",
    {
        "init variance": _row(_INV_OUT, _INV_IN, _INV_IN),
        "multiplier": _row(_ROOT_OUT, _INV_ROOT_IN, _ONE),
        "SGD lr": _row(_ONE, _ONE, _ONE),
        "Adam lr": _row(_INV_ROOT_OUT, _INV_ROOT_IN, _INV_IN),
    },
)
STANDARD = Table(
    "sp",
    "SP, the standard parametrization (not µP: nothing transfers)",
    f"{_TP5}, Table 3, entries in parentheses",
    {
        "init variance": _row(_INV_IN, _INV_IN, _INV_IN),
        "multiplier": _row(_ONE, _ONE, _ONE),
        "SGD lr": _row(_ONE, _ONE, _ONE),
        "Adam lr": _row(_ONE, _ONE, _ONE),
    },
)
TABLES: tuple[Table, ...] = (TABLE3, TABLE8, TABLE9, STANDARD)

# By role. Positional tables are input weights; a router with a fixed expert count is an output weight.
# Source: Tables 3, 8 and 9 with TP5 Lemma J.1; eps from the gradient's own exponent.
INVARIANTS: Mapping[str, Invariants] = {
    "input": Invariants(init=0.0, adam=0.0, sgd=1.0, eps=-1.0),
    "positional": Invariants(init=0.0, adam=0.0, sgd=1.0, eps=-1.0),
    "bias": Invariants(init=0.0, adam=0.0, sgd=1.0, eps=-1.0),
    "gain": Invariants(init=0.0, adam=0.0, sgd=1.0, eps=-1.0),
    "hidden": Invariants(init=-0.5, adam=-1.0, sgd=0.0, eps=-1.0),
    "output": Invariants(init=-1.0, adam=-1.0, sgd=-1.0, eps=0.0),
    "scalar": Invariants(init=0.0, adam=0.0, sgd=0.0, eps=None),
}
