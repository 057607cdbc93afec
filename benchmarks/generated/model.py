"""One generated model: drawn, solved, perhaps with one mistake, and its file."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from fractions import Fraction

from . import source
from .architecture import network
from .draw import Choices, Draw
from .scope import Line, Place, Scope, Shared
from .truth import Truth

PROBES = ((16, 32), (32, 64), (16, 48))


@dataclass
class Model:
    """A model that is right by construction; `truth` has the numbers that its text gets."""

    choices: Choices
    shared: Shared
    returned: str
    kind: str
    widths: tuple[int, int]
    base: int

    @property
    def truth(self) -> Truth:
        return self.shared.truth

    @property
    def title(self) -> str:
        return f"{self.kind}, {', '.join(self.shared.words)}, {self.truth.optimizer}"

    def text(self) -> str:
        exponents = {k: [self.truth.found[c] for c in s.columns] for k, s in self.shared.sites.items()}
        draw = Draw(self.choices).sub("optimizer")
        return source.text(self.shared, self.returned, self.kind, draw, self.title, exponents, self.widths, self.base)

    def lines(self, text: str) -> dict[int, frozenset[str]]:
        """Line number of the text → owners of the attention logits that are written there."""
        found: dict[int, frozenset[str]] = {}
        for number, line in self._forward(text):
            if line.tag is not None:
                owned = {r.owner for r in self.truth.rows if r.owner and r.owner.startswith(line.tag + " at ")}
                found[number] = frozenset(owned)
        # A helper's line is the innermost of the user's wherever it is called from: it stands for any.
        every = frozenset(r.owner for r in self.truth.rows if r.owner and r.owner.startswith("line "))
        helpers = ("    return x * factor", "        return x * self.factor")
        return found | {number: every for number, row in enumerate(text.split("\n"), 1) if row in helpers}

    def constants(self, text: str) -> dict[int, list[int]]:
        """Line number of the text → columns of the constant that is written there, one an instance of its class."""
        lines = self._forward(text)
        return {number: self.shared.sites[line.site].columns for number, line in lines if line.site is not None}

    def _forward(self, text: str) -> list[tuple[int, Line]]:
        """The lines of all forward methods, and their numbers."""
        rows, found = text.split("\n"), []
        for scope in self.shared.classes:
            start = rows.index(f"class {scope.name}(nn.Module):")
            first = next(i for i in range(start, len(rows)) if rows[i].startswith("    def forward")) + 2
            found += list(enumerate(scope.forward, first))
        return found

    def copy(self) -> Model:
        return copy.deepcopy(self)

    def in_table_3(self) -> Model:
        """The same network without what gauge freedom allows: it trains alike, to the last digits."""
        other = self.copy()
        other.truth.wanted = dict(other.truth.plain)
        assert other.truth.solve()
        return other


def generate(seed: int, off: frozenset[str] = frozenset(), without: frozenset[str] = frozenset()) -> Model:
    """The model of this seed, with the choices `off` at their plainest and never an option of `without`."""
    choices = Choices(seed, off, without)
    draw = Draw(choices)
    kind = draw("data", "vector", "sequence", "tokens", weights=(3, 2, 3))
    optimizer = draw("family", "adam", "sgd", weights=(3, 1))
    widths = draw("widths", *PROBES, weights=(4, 2, 1))
    base = draw("base", widths[0], 8, widths[1], 37, weights=(3, 1, 1, 1))
    shared = Shared(Truth(optimizer))
    scope = Scope("Net")
    scope.used["x"] = 1
    returned = network(Place(shared, scope), draw.sub("net"), kind)
    shared.classes.append(scope)
    model = Model(choices, shared, returned, kind, widths, base)
    _open_values(model, draw.sub("open"))
    if not model.truth.solve():
        _tame(model)
    assert model.truth.explains(), "a right model that its own equations call wrong"
    return model


def _open_values(model: Model, draw: Draw) -> None:
    """Some values have another size than 1, where the equations leave it open."""
    truth = model.truth
    if not draw.chance("any", 0.3):
        return
    for column, (kind, label) in enumerate(truth.columns):
        if kind == "φ" and draw.chance(f"{column} {label}", 0.1):
            truth.wanted[column] = draw(f"{column} exponent", Fraction(1, 2), Fraction(-1, 2))


def _tame(model: Model) -> None:
    """Exponents got out of hand: take what was drawn back, one by one, until they do not."""
    truth = model.truth
    for kind in ("φ", "c"):
        for column, (what, _) in enumerate(truth.columns):
            if what == kind and truth.wanted[column] != truth.plain[column]:
                truth.wanted[column] = truth.plain[column]
                if truth.solve():
                    return
    raise AssertionError("no solution of a reasonable size")
