"""Runs that were made elsewhere, from CSV files: what W&B and TensorBoard export. Free of torch."""

from __future__ import annotations

import glob
import math
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    "width": ("width", "n_embd", "d_model", "hidden_size", "embed_dim", "dim"),
    "lr": ("lr", "learning_rate", "max_lr", "peak_lr"),
    "seed": ("seed", "random_seed"),
    "loss": NAMES,
}
"""What columns are called, the likeliest first; `config.lr`, `Learning Rate` and `val/loss` are such names, too."""
_PREFIX = re.compile(r"^(?:config|summary|hparams?|params?)_")
UNFINISHED = ("running", "pending", "crashed", "failed", "killed", "preempted", "preempting")
"""What W&B's column `State` says of runs whose last loss is not that of their end."""


@dataclass(frozen=True)
class Imported:
    """The runs, and how many rows say nothing of a run's end: without a loss, and those that did not finish."""

    outcomes: tuple[TrainingOutcome, ...]
    without_loss: int = 0
    unfinished: int = 0

    def notices(self) -> list[str]:
        """What was left out, for people."""
        found = []
        if n := self.without_loss:
            found.append(f"left out: {n} row{'s' * (n > 1)} without a loss; nan is the loss of a run that diverged")
        if n := self.unfinished:
            found.append(f"left out: {n} run{'s' * (n > 1)} that did not finish, by the column for the state")
        return found


def parse_columns(texts: Iterable[str]) -> dict[str, str]:
    """`width=n_embd,loss=val/loss` to what each is called. Raises UserError."""
    found: dict[str, str] = {}
    for part, name, column in pairs(texts):
        if name not in COLUMNS:
            raise UserError(f"--columns: {part!r} is none of width=, lr=, seed= and loss=",
                            nearest(name, COLUMNS, "columns"))  # fmt: skip
        found[name] = column
    return found


def imported(pattern: str, columns: Mapping[str, str]) -> Imported:
    """The runs of one file with a row a run, or of files with a run each whose names say what it is:
    `runs/w{width}_lr{lr}_s{seed}.csv`.

    Raises:
        UserError: no such file, columns are missing, or a run comes twice.
    """
    many = placeholders(pattern, "--import")
    found = Imported(tuple(_of_files(pattern, columns.get("loss")))) if many else _of_rows(pattern, columns)
    if not found.outcomes:
        raise UserError(f"--import {pattern}: no row is of a run with a loss that finished", *found.notices()[:1])
    twice = {outcome.job.key for outcome in found.outcomes}
    if len(twice) < len(found.outcomes):
        keys = [outcome.job.key for outcome in found.outcomes]
        job = next(outcome.job for outcome in found.outcomes if keys.count(outcome.job.key) > 1)
        raise UserError(
            f"--import {pattern}: width {job.width}, lr {job.hp['lr']:g}, seed {job.seed} comes twice",
            "a column that tells them apart is named with --columns seed=NAME",
        )
    return found


def _of_rows(path: str, columns: Mapping[str, str]) -> Imported:
    text = read_bytes(Path(path), "--import names another file", RESULTS).decode("utf-8", "replace")
    rows = list(rows_of(text))
    if not rows:
        raise UserError(f"--import {path}: there are no rows below a header")
    names = {name: _called(name, rows[0], columns, path) for name in COLUMNS}
    state = next((each for each in rows[0] if each.lower() in ("state", "status")), "")
    found, without, unfinished = [], 0, 0
    for place, row in enumerate(rows, 2):

        def value(name: str, row: Mapping[str, str] = row, place: int = place) -> float:
            column = names[name]
            return 0.0 if column is None else number(row[column], f"{path}, line {place}: {column}")

        if not any(row.values()):
            continue
        if not row[names["loss"] or ""].strip():
            without += 1
        elif row.get(state, "").strip().lower() in UNFINISHED and math.isfinite(value("loss")):
            unfinished += 1
        else:
            found.append(_outcome(value("width"), value("lr"), value("seed"), value("loss"), f"{path}, line {place}"))
    return Imported(tuple(found), without, unfinished)


def _called(name: str, row: Mapping[str, str], columns: Mapping[str, str], path: str) -> str | None:
    if name in columns:
        if columns[name] not in row:
            raise UserError(f"--import {path}: no column {columns[name]!r}", nearest(columns[name], row, "columns"))
        return columns[name]
    found = next((each for each in OTHERS[name] if each in row), None) or _like(name, row, path)
    if found is None and name != "seed":
        raise UserError(f"--import {path}: no column for the {name} among {', '.join(row)}",
                        f"--columns {name}=NAME says what it is called")  # fmt: skip
    return found


def _like(name: str, row: Mapping[str, str], path: str) -> str | None:
    """The column that is called so but for capitals, spaces and what W&B and TensorBoard put before names.

    Raises:
        UserError: there are several.
    """
    plain = {column: _PREFIX.sub("", re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")) for column in row}
    for each in OTHERS[name]:
        found = [column for column, called in plain.items() if called == each.lower()]
        if len(found) > 1:
            raise UserError(f"--import {path}: several columns may be the {name}: {', '.join(found)}",
                            f"--columns {name}=NAME says which is")  # fmt: skip
        if found:
            return found[0]
    return None


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
