"""`muaudit tables`: the published tables, and what they have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from muaudit.cli.guard import guarded
from muaudit.cli.output import show
from muaudit.errors import UserError
from muaudit.findings.power import power
from muaudit.parametrizations.tables import COLUMN_TITLES, COLUMNS, INVARIANTS, TABLES
from muaudit.report.layout import BOLD, DIM, Line, columns, line
from muaudit.suggest import nearest

if TYPE_CHECKING:
    from muaudit.parametrizations.tables import Table
    from muaudit.report.layout import Line

_LR_ROWS = {"adam": "Adam lr", "sgd": "SGD lr"}


@guarded
def tables(
    optimizer: Annotated[
        str | None, typer.Option(metavar="NAME", help="adam or sgd; left out: both.", show_default=False)
    ] = None,
) -> int:
    """Print the tables of µP and SP with their source."""
    if optimizer is not None and optimizer.lower() not in _LR_ROWS:
        raise UserError(f"no table for optimizer {optimizer!r}", nearest(optimizer, _LR_ROWS, "optimizers"))
    return show(_lines(optimizer and optimizer.lower()))


def _lines(optimizer: str | None) -> Iterator[Line]:
    yield line("fan_in and fan_out stand for their ratio to the base width; a finite dim counts as 1.")
    for table in TABLES:
        yield Line()
        yield from _table(table, optimizer)
    yield Line()
    yield from _invariants(optimizer)
    yield Line()
    yield line("Attention logits: q·k carries 1/d_head, not 1/sqrt(d_head), when d_head grows with width.")
    yield line("Any init rule is also satisfied by zero init. Scalar-like parameters: constant everything.")


def _table(table: Table, optimizer: str | None) -> Iterator[Line]:
    skipped = {row for name, row in _LR_ROWS.items() if optimizer not in (None, name)}
    rows = [
        (quantity, *(str(cells[column]) for column in COLUMNS))
        for quantity, cells in table.rows.items()
        if quantity not in skipped
    ]
    yield line((table.title, BOLD))
    yield line((f"source: {table.source}", DIM))
    yield from columns([("", *(COLUMN_TITLES[column] for column in COLUMNS)), *rows], indent=2, hang=4)


def _invariants(optimizer: str | None) -> Iterator[Line]:
    yield line(("What muaudit checks: the invariants that Tables 3, 8 and 9 share", BOLD))
    yield line(
        ("source: Lemma J.1 there: multiplier × θ, init / θ, lr / θ (Adam) or / θ² (SGD) is the same training", DIM)
    )
    header = ["role", "init × multiplier"]
    header += ["Adam lr × multiplier"] if optimizer != "sgd" else []
    header += ["SGD lr × multiplier²"] if optimizer != "adam" else []
    rows = [tuple(header)]
    for role, needs in INVARIANTS.items():
        row = [role, power(needs.init) + (" or smaller" if role == "output" else "")]
        row += [power(needs.adam)] if optimizer != "sgd" else []
        row += [power(needs.sgd)] if optimizer != "adam" else []
        rows.append(tuple(row))
    yield from columns(rows, indent=2, hang=4)
