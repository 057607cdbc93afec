"""The tables of TP5 are one parametrization in three gauges."""

from __future__ import annotations

from fractions import Fraction

import pytest

from muaudit.parametrizations.tables import (
    COLUMNS,
    INVARIANTS,
    STANDARD,
    TABLES,
    Column,
    Table,
    TableEntry,
    width_exponent,
)

MUP = [table for table in TABLES if table is not STANDARD]


def exponents(table: Table, column: Column) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """(init std, multiplier, SGD lr, Adam lr) as exponents of width."""
    variance, *rest = (width_exponent(table.rows[q][column], column) for q in table.rows)
    return (variance / 2, *rest)  # type: ignore[return-value]


@pytest.mark.parametrize("table", MUP, ids=lambda table: table.name)
@pytest.mark.parametrize("column", COLUMNS)
def test_every_mup_table_has_the_same_invariants(table: Table, column: Column) -> None:
    init, multiplier, sgd, adam = exponents(table, column)
    needs = INVARIANTS[column]
    assert (init + multiplier, adam + multiplier, sgd + 2 * multiplier) == (needs.init, needs.adam, needs.sgd)


def test_the_standard_parametrization_is_wrong_where_it_should_be() -> None:
    assert exponents(STANDARD, "hidden") == (Fraction(-1, 2), 0, 0, 0)
    assert exponents(STANDARD, "output") == (Fraction(-1, 2), 0, 0, 0)
    assert exponents(STANDARD, "input") == (0, 0, 0, 0)


def test_vectors_are_input_weights() -> None:
    assert all(INVARIANTS[role] == INVARIANTS["input"] for role in ("bias", "gain", "positional"))


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (TableEntry(), "1"),
        (TableEntry("fan_in", Fraction(-1)), "1/fan_in"),
        (TableEntry("fan_in", Fraction(-2)), "1/fan_in²"),
        (TableEntry("fan_out", Fraction(1, 2)), "sqrt(fan_out)"),
        (TableEntry("fan_in", Fraction(-1, 2)), "1/sqrt(fan_in)"),
    ],
)
def test_entries_read_like_the_paper(entry: TableEntry, text: str) -> None:
    assert str(entry) == text
