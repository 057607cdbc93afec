"""The results file: a header, then one JSON line a finished run. Survives a kill at any moment. Free of torch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from muaudit.errors import UserError
from muaudit.reading import RESULTS, Malformed, parse_json, read_bytes
from muaudit.sweep.trainings import Training, TrainingOutcome, Unit
from muaudit.writing import remove_abandoned

SCHEMA = "muaudit.sweep/1"
T = TypeVar("T")
FLUSH_SECONDS = 2.0


class Results:
    """Finished runs by job key, on disk as soon as they are finished.

    settings: everything that a run depends on besides its own job, as plain data; a file with others is refused.

    Raises:
        UserError: the file is another sweep's, is no results file, is damaged, or is being written by another sweep.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.done: dict[str, TrainingOutcome] = {}
        self._rows: dict[str, dict[str, Any]] = {}
        self._header = {"schema": SCHEMA, "settings": json.loads(json.dumps(settings))}
        self._file = self._opened()
        try:
            if os.fstat(self._file).st_size == 0 or not self._read():
                self._replace()
        except BaseException:
            os.close(self._file)
            raise
        self._flushed = time.monotonic()

    def add(self, unit: Unit, outcomes: Sequence[TrainingOutcome]) -> None:
        """Write the runs of one unit in one go: no kill loses them from here on, and soon no power cut either."""
        lines = []
        for outcome in outcomes:
            row = _row(outcome) | ({"unit": unit.name, "members": len(unit.jobs)} if len(unit.jobs) > 1 else {})
            self._keep(row, outcome)
            lines.append(_line(row))
        try:
            os.write(self._file, "".join(lines).encode())
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                os.fsync(self._file)
                self._flushed = time.monotonic()
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Bring the lines into the order of the runs, whatever order they were finished in, and close the file."""
        os.fsync(self._file)
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines[1:] != [_line(row) for row in self._sorted()]:
            self._replace()
        os.close(self._file)

    def missing(self, jobs: Sequence[Training]) -> list[Training]:
        """The jobs that have not been run."""
        return [job for job in jobs if job.key not in self.done]

    # -- the file ----------------------------------------------------------------------------------------------

    def _read(self) -> bool:
        """Read what is there, without a last line that was cut off while it was written; whether that was all."""
        raw = self._bytes()
        complete, _, cut = raw.rpartition(b"\n")
        rows = [
            self._parsed(number, text) for number, text in enumerate(complete.decode("utf-8", "replace").split("\n"), 1)
        ]
        if not rows or not isinstance(rows[0], dict) or rows[0].get("schema") != SCHEMA:
            raise UserError(f"{self.path} is no results file of a sweep", "name another with --results")
        self._check(rows[0].get("settings"))
        outcomes = {id(row): _outcome(self.path, number, row) for number, row in enumerate(rows[1:], 2)}
        whole = _of_whole_units(rows[1:])
        for row in whole:
            self._keep(row, outcomes[id(row)])
        return not cut and len(whole) == len(rows) - 1

    def _bytes(self) -> bytes:
        return read_bytes(self.path, "--results names another file", RESULTS)

    def _parsed(self, number: int, text: str) -> Any:
        try:
            return parse_json(text)
        except Malformed:
            raise UserError(
                f"{self.path}, line {number}: expected JSON, found {text[:40]!r}",
                "the file is damaged: mend or remove that line, or start anew with another --results",
            ) from None

    def _check(self, found: Any) -> None:
        expected = self._header["settings"]
        if found == expected:
            return
        there, here = _flat(found if isinstance(found, dict) else {}), _flat(expected)
        lines = [
            f"  {name}: {_short(there.get(name))} there, {_short(here.get(name))} here"
            for name in dict.fromkeys((*here, *there))
            if there.get(name) != here.get(name)
        ]
        raise UserError(
            f"{self.path} holds the results of another sweep:\n" + "\n".join(lines),
            "name another file with --results, or remove this one",
        )

    def _keep(self, row: dict[str, Any], outcome: TrainingOutcome) -> None:
        self.done[outcome.job.key] = outcome
        self._rows[outcome.job.key] = row

    def _sorted(self) -> Iterator[dict[str, Any]]:
        def place(key: str) -> Any:
            job = self.done[key].job
            return (len(job.values), [name for name, _ in job.values], job.width, job.variant, job.seed,
                    [value for _, value in job.values])  # fmt: skip

        yield from (self._rows[key] for key in sorted(self._rows, key=place))

    def _replace(self) -> None:
        """Write the whole file beside itself and put it in place in one step; this sweep goes on with the new one."""
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines([_line(self._header), *map(_line, self._sorted())])
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise self._unwritable(error) from error
        old, self._file = self._file, self._opened()
        os.close(old)

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(f"cannot write {self.path}: {error.strerror or error}", "--results names another file")

    def _opened(self) -> int:
        """Open for appending, and lock out a second sweep on the same file where the system has locks."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not self.path.is_file():  # opening a pipe waits, and a device is no file to keep
                raise OSError(None, "it is no regular file")
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        except OSError as error:
            raise self._unwritable(error) from error
        with contextlib.suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                raise UserError(f"{self.path} is being written by another sweep", "wait for it to end") from None
        if not os.path.samestat(os.fstat(file), os.stat(self.path)):  # another sweep has just put a new one in place
            os.close(file)
            return self._opened()
        remove_abandoned(self.path)
        return file


def results_path(settings: Mapping[str, Any]) -> Path:
    """A results file of a sweep's own."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return Path("mup") / f"sweep-{digest[:8]}.jsonl"


def _of_whole_units(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """The rows without those of a unit that is not there as a whole: its runs are trained together again."""
    counts = Counter(row.get("unit") for row in rows if isinstance(row, dict))
    return [row for row in rows if not isinstance(row, dict) or counts[row.get("unit")] >= row.get("members", 1)]


def _row(outcome: TrainingOutcome) -> dict[str, Any]:
    job = outcome.job
    return {
        "variant": job.variant, "width": job.width, "seed": job.seed, **job.hp, "loss": outcome.loss,
        "first_loss": outcome.first, "steps": outcome.steps, **({"curve": outcome.curve} if outcome.curve else {}),
    }  # fmt: skip


_FIXED = ("variant", "width", "seed", "loss", "first_loss", "steps", "curve", "unit", "members")


def _outcome(path: Path, line: int, row: Any) -> TrainingOutcome:
    try:
        if not isinstance(row, dict):
            raise ValueError("it is no object")
        values = tuple((name, _number(row, name)) for name in row if name not in _FIXED)
        job = Training(_of(str, row, "variant"), _of(int, row, "width"), _of(int, row, "seed"), values)
        unit, members = row.get("unit", ""), row.get("members", 1)
        if not isinstance(unit, str) or type(members) is not int:
            raise ValueError(f"unit {unit!r} of {members!r} members")
        loss, first = (None if row[name] is None else _number(row, name) for name in ("loss", "first_loss"))
        return TrainingOutcome(job, loss, first, _of(int, row, "steps"), _curve(row))
    except (KeyError, ValueError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        hint = "the file is damaged: mend or remove that line, or start anew with another --results"
        raise UserError(f"{path}, line {line}: expected a run, found {_short(row)}: {what}", hint) from None


def _curve(row: Mapping[str, Any]) -> tuple[float, ...]:
    """Files of before curves were kept have none."""
    found = row.get("curve", [])
    if not isinstance(found, list) or not all(type(each) in (int, float) and math.isfinite(each) for each in found):
        raise ValueError(f"curve is {_short(found)}, expected numbers")
    return tuple(map(float, found))


def _of(kind: type[T], row: Mapping[str, Any], name: str) -> T:
    value = row[name]
    if type(value) is not kind:
        raise ValueError(f"{name} is {value!r}, expected {'a whole number' if kind is int else 'a text'}")
    return value


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, expected a number")
    return float(value)


def _line(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False) + "\n"


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`converted.plan` beside `steps`, so that a difference is shown alone."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
