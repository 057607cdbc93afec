"""Taking tensors out of a finding that holds for several."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from muaudit.findings.model import Violation, subjects
from muaudit.findings.names import pattern_of


def without(violation: Violation, names: Collection[str]) -> tuple[Violation | None, Violation | None]:
    """(what is left of the finding, what was taken out): a finding about a module goes as a whole."""
    about = subjects(violation)
    taken = [name for name in about if name in names]
    if not taken:
        return violation, None
    if len(taken) == len(about):
        return None, violation
    return _narrowed(violation, [name for name in about if name not in names]), _narrowed(violation, taken)


def _narrowed(violation: Violation, names: list[str]) -> Violation:
    """The same finding for fewer tensors, with their pattern and the count in its message corrected."""
    patterns = {pattern_of(name) for name in names}
    pattern = names[0] if len(names) == 1 else patterns.pop() if len(patterns) == 1 else violation.pattern
    old = f"{violation.pattern} (×{len(violation.tensors)})".strip()
    new = pattern if len(names) == 1 else f"{pattern} (×{len(names)})".strip()
    return replace(violation, tensors=tuple(names), message=violation.message.replace(old, new), pattern=pattern)
