"""Tables of rows that are dicts: for pandas, for notebooks and for reading."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from muaudit.errors import UserError

Rows = Sequence[Mapping[str, Any]]

_MOST = 60


def frame(rows: Rows) -> Any:
    """A pandas DataFrame of rows. Raises UserError where pandas is not installed."""
    try:
        import pandas
    except ImportError as error:
        raise UserError("to_frame() needs pandas", "pip install pandas; rows() gives the same as dicts") from error
    return pandas.DataFrame(list(rows))


def page(headline: str, rows: Rows) -> str:
    """A headline with a table below, as HTML."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell(row.get(column)))}</td>" for column in columns) + "</tr>"
        for row in rows[:_MOST]
    )
    more = f"<p>and {len(rows) - _MOST} more rows: rows() has them all</p>" if len(rows) > _MOST else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
    return f"<p><b>{html.escape(headline)}</b></p>{table}{more}"


def text_table(rows: Rows) -> str:
    """Aligned columns under their names."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
    return "\n".join("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
                     for row in cells)  # fmt: skip


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
