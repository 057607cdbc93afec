"""Runs that were made elsewhere, from CSV files: what W&B and TensorBoard export. Free of torch."""

from __future__ import annotations

import glob
import math
import re
import string
from collections.abc import Iterable, Mapping
from pathlib import Path

from muaudit.errors import UserError
from muaudit.pairs import pairs
from muaudit.reading import RESULTS, read_bytes
from muaudit.suggest import nearest
from muaudit.sweep.reported_loss import NAMES, number, of_file, rows_of
from muaudit.sweep.script_command import placeholders
from muaudit.sweep.trainings import Training, TrainingOutcome

COLUMNS = ("width", "lr", "seed", "loss")
OTHERS = {
    "width": ("width", "n_embd", "d_model", "hidden_size", "embed_dim", "dim", "config.width"),
    "lr": ("lr", "learning_rate", "max_lr", "peak_lr", "config.lr", "config.learning_rate"),
    "seed": ("seed", "config.seed", "random_seed"),
    "loss": NAMES,
}
"""What columns are called, the likeliest first."""


def parse_columns(texts: Iterable[str]) -> dict[str, str]:
    """`width=n_embd,loss=val/loss` to what each is called. Raises UserError."""
    found: dict[str, str] = {}
    for part, name, column in pairs(texts):
        if name not in COLUMNS:
            raise UserError(f"--columns: {part!r} is none of width=, lr=, seed= and loss=",
                            nearest(name, COLUMNS, "columns"))  # fmt: skip
        found[name] = column
    return found


def imported(pattern: str, columns: Mapping[str, str]) -> list[TrainingOutcome]:
    """The runs of one file with a row a run, or of files with a run each whose names say what it is:
    `runs/w{width}_lr{lr}_s{seed}.csv`.

    Raises:
        UserError: no such file, columns are missing, or a run comes twice.
    """
    many = placeholders(pattern, "--import")
    found = _of_files(pattern, columns.get("loss")) if many else _of_rows(pattern, columns)
    twice = {outcome.job.key for outcome in found}
    if len(twice) < len(found):
        keys = [outcome.job.key for outcome in found]
        job = next(outcome.job for outcome in found if keys.count(outcome.job.key) > 1)
        raise UserError(
            f"--import {pattern}: width {job.width}, lr {job.hp['lr']:g}, seed {job.seed} comes twice",
            "a column that tells them apart is named with --columns seed=NAME",
        )
    return found


def _of_rows(path: str, columns: Mapping[str, str]) -> list[TrainingOutcome]:
    text = read_bytes(Path(path), "--import names another file", RESULTS).decode("utf-8", "replace")
    rows = list(rows_of(text))
    if not rows:
        raise UserError(f"--import {path}: there are no rows below a header")
    names = {name: _called(name, rows[0], columns, path) for name in COLUMNS}
    found = []
    for place, row in enumerate(rows, 2):

        def value(name: str, row: Mapping[str, str] = row, place: int = place) -> float:
            column = names[name]
            return 0.0 if column is None else number(row[column], f"{path}, line {place}: {column}")

        found.append(_outcome(value("width"), value("lr"), value("seed"), value("loss"), f"{path}, line {place}"))
    return found


def _called(name: str, row: Mapping[str, str], columns: Mapping[str, str], path: str) -> str | None:
    if name in columns:
        if columns[name] not in row:
            raise UserError(f"--import {path}: no column {columns[name]!r}", nearest(columns[name], row, "columns"))
        return columns[name]
    found = next((each for each in OTHERS[name] if each in row), None)
    if found is None and name != "seed":
        raise UserError(f"--import {path}: no column for the {name} among {', '.join(row)}",
                        f"--columns {name}=NAME says what it is called")  # fmt: skip
    return found


def _of_files(pattern: str, loss: str | None) -> list[TrainingOutcome]:
    wild, expression = "", ""
    for text, name, _, _ in string.Formatter().parse(pattern):
        wild, expression = wild + glob.escape(text), expression + re.escape(text)
        if name is not None:
            if name not in COLUMNS[:3]:
                raise UserError(f"--import: unknown placeholder {{{name}}}", nearest(name, COLUMNS[:3], "placeholders"))
            wild += "*"
            expression += f"(?P<{name}>[-+.\\w]+?)"
    paths = sorted(glob.glob(wild))
    matched = [(path, match) for path in paths if (match := re.fullmatch(expression, path))]
    if not matched:
        raise UserError(f"--import {pattern}: no file is called so", "names are those of width, lr and seed")
    found = []
    for path, match in matched:
        text = read_bytes(Path(path), "--import names other files", RESULTS).decode("utf-8", "replace")
        values = {name: number(value, path) for name, value in match.groupdict().items()}
        if missing := [name for name in ("width", "lr") if name not in values]:
            raise UserError(f"--import {pattern} has no {{{missing[0]}}}")
        seed = values.get("seed", 0.0)
        found.append(_outcome(values["width"], values["lr"], seed, of_file(text, path, loss), path))
    return found


def _outcome(width: float, lr: float, seed: float, loss: float, where: str) -> TrainingOutcome:
    if not (width > 0 and width == round(width)):
        raise UserError(f"{where}: the width is {width:g}, expected a whole number")
    if not (0 < lr < math.inf and seed == round(seed)):
        raise UserError(f"{where}: expected a positive learning rate and a whole seed, found {lr:g} and {seed:g}")
    job = Training("original", int(width), int(seed), (("lr", lr),))
    return TrainingOutcome(job, float(f"{loss:.9g}") if math.isfinite(loss) else None, None, 0)
