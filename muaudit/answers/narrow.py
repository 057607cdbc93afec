"""Taking tensors out of a finding that holds for several."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from muaudit.report.findings import subjects
from muaudit.report.model import Violation


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
    """The same finding for fewer tensors, with the count in its message corrected."""
    count, now = f"(×{len(violation.tensors)})", f"(×{len(names)})" if len(names) > 1 else ""
    message = violation.message.replace(violation.pattern, names[0]) if len(names) == 1 else violation.message
    words = message.replace(f" {count}", f" {now}" if now else "")
    return replace(
        violation, tensors=tuple(names), message=words, pattern=names[0] if len(names) == 1 else violation.pattern
    )
