"""Whether what findings ask for, done to the letter, makes a model right, and how many changes that takes.

`Truth.explains` lets what is named be anything. Here the difference between the exponent that was found and the one
that is asked for is added to the inits and rates of the tensors, to the product of every use of them, or to the
constants that are written on the line. The model's own equations say then whether it is right.

A constant on what a module makes is one change, whether a weight is named or its bias along with it, and so is one in a
class that is used for several blocks: it stands on one line of the code.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from .model import Model
from .truth import Truth

MOST = 16
"""How many parts are left out one by one, and how many readings of one finding are tried."""

Kind = Literal["init", "rate", "use", "line"]


@dataclass(frozen=True)
class Change:
    """`name` (a tensor, or a line of the file) is changed by an exponent; part of what a module's instance needs."""

    kind: Kind
    name: str
    by: Fraction
    line: int = 0

    @property
    def part(self) -> tuple[str, str]:
        name = re.sub(r"\.(weight|bias)$", "", self.name) if self.kind == "use" else self.name
        return self.kind, name

    @property
    def place(self) -> tuple[str, str, Fraction]:
        return self.kind, folded(self.part[1]), self.by


def folded(name: str) -> str:
    """The name of a tensor whichever block it is in."""
    return re.sub(r"\.\d+(?=\.|$)", ".*", name)


def changes(violations: Iterable[Any]) -> list[Change] | None:
    """What findings ask for; None where they do not say it in exponents."""
    found: list[Change] = []
    kinds: dict[str, Kind] = {"1": "init", "2": "use", "3": "rate"}
    for v in violations:
        kind = kinds.get(v.rule[3])
        if kind is None or v.rule == "MUP311" or v.found_exponent is None or v.expected_exponent is None:
            return None
        by = Fraction(v.expected_exponent - v.found_exponent).limit_denominator(24)
        found += [Change(kind, name, by) for name in v.tensors]
        if not v.tensors:
            found.append(Change("line", f"line {v.line}", by, v.line or 0))
    return found


def places(asked: Sequence[Change]) -> int:
    """How many changes of the code that is."""
    return len({change.place for change in asked})


def mends(model: Model, asked: Sequence[Change], text: str) -> bool:
    """Whether the model is right after these changes, and not without a part of them."""
    lines = model.constants(text)
    parts = list(dict.fromkeys(change.part for change in asked))
    if not _right_after(model.truth, asked, lines):
        return False
    tried = parts if len(parts) <= MOST else [parts[0], parts[-1]]
    return not any(_right_after(model.truth, [c for c in asked if c.part != part], lines) for part in tried)


def _right_after(truth: Truth, asked: Sequence[Change], lines: dict[int, list[int]]) -> bool:
    """Whether some reading of the changes makes the equations hold: a tensor may be used several times."""
    several = [list(_readings(truth, change, lines)) for change in asked]
    if not all(several):
        return False
    every = itertools.islice(itertools.product(*several), MOST)
    return any(_explained(truth, zip(asked, reading, strict=True)) for reading in every)


def _readings(truth: Truth, change: Change, lines: dict[int, list[int]]) -> Iterator[list[int]]:
    """What a change may be done to: rows of a tensor's uses, columns of the constants on a line; all, or one."""
    if change.kind in ("init", "rate"):
        yield []
        return
    uses = [number for number, row in enumerate(truth.rows) if row.owner == change.name]
    each = lines.get(change.line, []) if change.kind == "line" else uses
    if each:
        yield each
    if len(each) > 1:
        yield from ([number] for number in each)


def _explained(truth: Truth, done: Iterable[tuple[Change, list[int]]]) -> bool:
    after = copy.deepcopy(truth)
    for change, numbers in done:
        if change.kind == "init":
            after.tensors[change.name].init += change.by
        elif change.kind == "rate":
            after.tensors[change.name].rate += change.by
        for number in numbers:
            if change.kind == "line":
                after.found[number] += change.by
            else:
                row = after.rows[number]
                after.rows[number] = type(row)(row.terms, row.right + change.by, row.owner)
    return after.explains()
