"""One seed: what is said about its model, right and with its mistake; and the smallest model that fails alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from .mistakes import mistake
from .model import Model, generate
from .shrink import shrink
from .training import can_start, removed
from .verdict import Said, of_mistake, of_right

Row = dict[str, object]
REDRAWN, FAR = 10, 10**9  # how often at most, and how far from other seeds
GOOD = {"right": "right", "wrong": "exact"}


@dataclass(frozen=True)
class Grammar:
    """Choices at their plainest, and options that are never taken."""

    off: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()

    def model(self, seed: int) -> Model:
        """The model of a seed, drawn anew where nobody could train it.

        Its equations have no solution of a reasonable size, its loss is no number, or its gradients vanish.
        """
        for again in range(REDRAWN):
            try:
                found = generate(seed + again * FAR, self.off, self.without)
            except AssertionError:
                continue
            if can_start(found):
                for name in removed(found):
                    found.truth.tensors[name].removed = True
                return found
        raise AssertionError(f"no model that can be trained came of seed {seed}")

    def but(self, off: frozenset[str]) -> Grammar:
        return Grammar(self.off | off, self.without)


WHOLE = Grammar()


def audited(seed: int, grammar: Grammar = WHOLE, parts: Iterable[str] = ("right", "wrong")) -> Row:
    """What is said about the model of this seed, and about it with its mistake."""
    model = grammar.model(seed)
    row: Row = {"seed": seed, "model": model.title}
    wrong = mistake(model) if "wrong" in parts else None
    with TemporaryDirectory() as folder:
        if "right" in parts:
            row |= _said("right", of_right(model, Path(folder)))
        if wrong is not None:
            row |= {"mistake": wrong.words, "truth": sorted(wrong.names)}
            row |= _said("wrong", of_mistake(wrong, Path(folder)))
    return row


def _said(part: str, said: Said) -> Row:
    return {part: said.outcome, f"{part}_said": list(said.words)}


def failures(row: Row) -> list[str]:
    """The parts of which something else is said than should be."""
    return [part for part, good in GOOD.items() if row.get(part, good) != good]


def shrunk(row: Row, part: str, grammar: Grammar = WHOLE) -> Grammar:
    """The plainest grammar under which this seed fails in the same part with the same outcome.

    A mistake that is beside the truth in a model that is itself accused is another failure than in one that is not.
    """
    seed = int(str(row["seed"]))
    clean = part == "wrong" and row.get("right") == "right"

    def fails(more: frozenset[str]) -> bool:
        try:
            again = audited(seed, grammar.but(more), ("right", "wrong") if clean else (part,))
        except AssertionError:  # equations without a solution of a reasonable size
            return False
        return again.get(part) == row[part] and (not clean or again["right"] == "right")

    return grammar.but(shrink(seed, grammar.without, fails))


def text_of(seed: int, part: str, grammar: Grammar = WHOLE) -> str:
    """The file of a part."""
    model = grammar.model(seed)
    wrong = mistake(model) if part == "wrong" else None
    return wrong.model.text() if wrong is not None else model.text()
