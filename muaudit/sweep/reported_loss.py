"""The loss that somebody else's training left: in a line it printed, in a CSV file or in a JSON one. Free of torch."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from muaudit.errors import UserError
from muaudit.reading import Malformed, parse_json

NAMES = ("loss", "val_loss", "valid_loss", "eval_loss", "train_loss", "final_loss", "Value")
"""What the loss is called, the likeliest first; TensorBoard's files say Value."""
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|[-+]?\binf(?:inity)?\b|\bnan\b", re.IGNORECASE)


def of_output(text: str, name: str | None) -> float:
    """The loss in the last line that a script printed: a JSON object, `loss: 1.23`, or the last number there.

    Infinite or NaN where it diverged.

    Raises:
        UserError: there is no number in that line.
    """
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    if last.startswith("{"):
        try:
            return _named(parse_json(last), name, "its last line")
        except Malformed:
            pass
    for each in (name,) if name else NAMES[:-1]:
        if match := re.search(rf"\b{re.escape(each)}\b\W{{0,3}}({_NUMBER.pattern})", last, re.IGNORECASE):
            return float(match[1])
    numbers = [] if name else _NUMBER.findall(last)
    if not numbers:
        raise UserError(
            f"no loss was found in the last line that it printed: {last[:100]!r}",
            'print the loss last, as a number, as `loss: 1.23` or as {"loss": 1.23}; or --loss-file names its file',
        )
    return float(numbers[-1])


def of_file(text: str, path: str, name: str | None) -> float:
    """The loss in a file's text: the last row of a CSV file, a JSON object, or the last line of JSON lines.

    Raises:
        UserError: there is no loss in it.
    """
    if path.lower().endswith((".json", ".jsonl")):
        lines = [text] if path.lower().endswith(".json") else [each for each in text.splitlines() if each.strip()][-1:]
        try:
            return _named(parse_json(lines[0]), name, path)
        except (Malformed, IndexError) as error:
            raise UserError(f"{path}: expected JSON with a loss: {error}") from None
    rows = list(rows_of(text))
    with_loss = [row for row in rows if (found := _column(row, name)) is not None and row[found].strip()]
    if not with_loss:
        columns = ", ".join(rows[0]) if rows else "nothing"
        raise UserError(f"{path}: no column {name or ' or '.join(NAMES[:2])} with a value, found {columns}",
                        "--loss-name says what it is called")  # fmt: skip
    last = with_loss[-1]
    column = _column(last, name)
    assert column is not None
    return number(last[column], f"{path}: {column}")


def rows_of(text: str) -> Iterator[dict[str, str]]:
    """The rows of a CSV file with a header, whatever separates the columns; without a byte order mark."""
    text = text.removeprefix("\ufeff")
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    for row in csv.DictReader(io.StringIO(text), delimiter=separator):
        yield {key.strip(): value or "" for key, value in row.items() if isinstance(key, str)}


def number(text: str, where: str) -> float:
    """`nan`, `inf` and `diverged` are infinite. Raises UserError for what is no number."""
    cleaned = text.strip().strip('"')
    if cleaned.lower() in ("diverged", "", "none", "null"):
        return math.inf
    try:
        value = float(cleaned)
    except ValueError:
        raise UserError(f"{where} is {text!r}, expected a number") from None
    return value if math.isfinite(value) else math.inf


def _column(row: Mapping[str, Any], name: str | None) -> str | None:
    wanted: Sequence[str] = (name,) if name else NAMES
    return next((each for each in wanted if each in row), None)


def _named(found: Any, name: str | None, where: str) -> float:
    column = _column(found, name) if isinstance(found, dict) else None
    if column is None:
        keys = ", ".join(map(str, found)) if isinstance(found, dict) else type(found).__name__
        raise UserError(f"{where}: no {name or 'loss'} among {keys}", "--loss-name says what it is called")
    value = found[column]
    return number("" if value is None else str(value), f"{where}: {column}")
