"""One row of the catalogue of known mistakes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bugs.plant import FIXTURES, Edit


@dataclass(frozen=True)
class Row:
    """One mistake in one model.

    rule: the code of the one finding. tensors: patterns of the parameters it names, none where a line is to blame.
    line: a snippet of the line to show. found, expected: exponents, where they say what is wrong. says: words of the
    message. right: edits of the right model itself. profile, target_width: as on the command line.
    """

    number: str
    name: str
    fixture: str
    wrong: tuple[Edit, ...]
    rule: str
    tensors: tuple[str, ...] = ()
    line: str = ""
    found: float | None = None
    expected: float | None = None
    says: str = ""
    right: tuple[Edit, ...] = ()
    profile: str = "tp5"
    target_width: int | None = None

    def source(self, edits: Iterable[Edit]) -> str:
        """The source of the fixture with these edits."""
        text = (FIXTURES / f"{self.fixture}.py").read_text()
        for edit in edits:
            count = text.count(edit.old)
            assert count == edit.count, f"{self.fixture}: {edit.old!r} occurs {count} times"
            text = text.replace(edit.old, edit.new)
        return text
