"""`muaudit tables`: the published tables, and what they have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from muaudit.cli.guard import guarded
from muaudit.cli.output import show, write
from muaudit.errors import UserError
from muaudit.findings.power import power
from muaudit.parametrizations.profiles import PROFILES
from muaudit.parametrizations.studies import PUBLISHED, Published
from muaudit.parametrizations.tables import COLUMN_TITLES, COLUMNS, INVARIANTS, TABLES
from muaudit.report.layout import BOLD, DIM, Line, columns, line
from muaudit.suggest import check_format, nearest

if TYPE_CHECKING:
    from muaudit.parametrizations.tables import Table
    from muaudit.report.layout import Line

_LR_ROWS = {"adam": "Adam lr", "sgd": "SGD lr"}
_SHARED = "What muaudit checks: the invariants that Tables 3, 8 and 9 share"
_LEMMA = "Lemma J.1 there: multiplier × θ, init / θ, lr / θ (Adam) or / θ² (SGD) is the same training"


FORMATS = ("text", "markdown", "json")


@guarded
def tables(
    optimizer: Annotated[
        str | None, typer.Option(metavar="NAME", help="adam or sgd; left out: both.", show_default=False)
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Another table: 1, 2, 14, lingle, completep, recipes.", show_default=False),
    ] = None,
    profiles: Annotated[bool, typer.Option("--profiles", help="Where the profiles differ.")] = False,
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="text, markdown or json.")] = "text",
) -> int:
    """Print the tables of µP and SP with their source."""
    if optimizer is not None and optimizer.lower() not in _LR_ROWS:
        raise UserError(f"no table for optimizer {optimizer!r}", nearest(optimizer, _LR_ROWS, "optimizers"))
    if table is not None and table.lower() not in PUBLISHED:
        raise UserError(f"no table {table!r}", nearest(table, PUBLISHED, "tables"))
    check_format(format_, FORMATS)
    if sum((optimizer is not None, table is not None, profiles)) > 1:
        raise UserError("--optimizer, --table and --profiles ask for different tables", "give one of them")
    chosen = optimizer and optimizer.lower()
    if format_ == "text" and table is None and not profiles:
        return show(_lines(chosen))
    wanted = (_of_profiles(),) if profiles else PUBLISHED[table.lower()] if table else _all(chosen)
    if format_ == "text":
        return show(each for number, found in enumerate(wanted) for each in _text(found, number))
    write(_markdown(wanted) if format_ == "markdown" else _json(wanted))
    return 0


def _text(table: Published, number: int) -> Iterator[Line]:
    if number:
        yield Line()
    yield line((table.title, BOLD))
    yield line((f"source: {table.source}", DIM))
    yield from columns([table.header, *table.rows], indent=2, hang=4)
    yield from (line(("· ", DIM), remark, indent=2, hang=2) for remark in table.remarks)


def _markdown(found: Sequence[Published]) -> str:
    parts: list[str] = []
    for table in found:
        rows = [table.header, ("---",) * len(table.header), *table.rows]
        cells = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
        remarks = "".join(f"\n- {remark.replace('*', chr(92) + '*')}" for remark in table.remarks)
        parts.append(f"**{table.title}** ({table.source})\n\n{cells}\n" + (f"{remarks}\n" if remarks else ""))
    return "\n".join(parts)


def _json(found: Sequence[Published]) -> str:
    return json.dumps([vars(table) for table in found], indent=2, ensure_ascii=False) + "\n"


def _all(optimizer: str | None) -> tuple[Published, ...]:
    """Tables 3, 8 and 9 and SP, and what they share, as plain cells."""
    header = ("", *(COLUMN_TITLES[column] for column in COLUMNS))
    found = [Published(table.title, table.source, header, tuple(_cells(table, optimizer))) for table in TABLES]
    first, *rows = _invariant_rows(optimizer)
    return (*found, Published(_SHARED, _LEMMA, first, tuple(rows)))


def _of_profiles() -> Published:
    """What each profile asks for where they differ, and whose school it is."""
    advice = frozenset.intersection(*(each.advice for each in PROFILES.values()))
    rows = [
        (each.name, f"{power(each.readout_init_bound)} or smaller", power(each.weight_decay_target),
         power(each.weight_decay_targets.get("output", 0.0)), each.sqrt_attention, power(-each.depth_alpha, "L"),
         ", ".join(sorted(each.advice - advice)) or "-", each.source)
        for each in PROFILES.values()
    ]  # fmt: skip
    header = (
        "profile",
        "readout init × multiplier",
        "lr × weight decay (hidden)",
        "(readout)",
        "1/sqrt(d_head)",
        "what a block adds",
        "advice of its own",
        "source",
    )
    shared = f"all of them give the advice {', '.join(sorted(advice))}"
    words = (f"{each.name}: {each.summary}" for each in PROFILES.values())
    return Published("Where the profiles differ", "muaudit check --profile NAME", header, tuple(rows), (*words, shared))


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
    yield line((table.title, BOLD))
    yield line((f"source: {table.source}", DIM))
    header = ("", *(COLUMN_TITLES[column] for column in COLUMNS))
    yield from columns([header, *_cells(table, optimizer)], indent=2, hang=4)


def _cells(table: Table, optimizer: str | None) -> Iterator[tuple[str, ...]]:
    skipped = {row for name, row in _LR_ROWS.items() if optimizer not in (None, name)}
    for quantity, cells in table.rows.items():
        if quantity not in skipped:
            yield quantity, *(str(cells[column]) for column in COLUMNS)


def _invariants(optimizer: str | None) -> Iterator[Line]:
    yield line((_SHARED, BOLD))
    yield line((f"source: {_LEMMA}", DIM))
    yield from columns(_invariant_rows(optimizer), indent=2, hang=4)


def _invariant_rows(optimizer: str | None) -> list[tuple[str, ...]]:
    """What is gauge invariant, by role, under a header."""
    header = ["role", "init × multiplier"]
    header += ["Adam lr × multiplier"] if optimizer != "sgd" else []
    header += ["SGD lr × multiplier²"] if optimizer != "adam" else []
    rows = [tuple(header)]
    for role, needs in INVARIANTS.items():
        row = [role, power(needs.init) + (" or smaller" if role == "output" else "")]
        row += [power(needs.adam)] if optimizer != "sgd" else []
        row += [power(needs.sgd)] if optimizer != "adam" else []
        rows.append(tuple(row))
    return rows
