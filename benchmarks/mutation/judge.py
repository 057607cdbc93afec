"""Audit a mutant and compare with what theory says."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import muaudit

from .changes import apply
from .families import LOGITS
from .mutants import Mutant
from .subject import Subject, anatomy, load

Finding = tuple[str, str, tuple[str, ...], str]


@dataclass(frozen=True)
class Verdict:
    """What the audit said about a mutant: `detected` if anything, `exact` if just what theory says (or nothing)."""

    mutant: Mutant
    detected: bool
    exact: bool
    said: str


def judge(mutant: Mutant, seed: int = 0) -> Verdict:
    """Audit one mutant. Advice that the right model gets as well does not count."""
    subject = mutated(mutant)
    try:
        report = audit(subject, seed)
    except Exception as error:
        return Verdict(mutant, False, False, f"{type(error).__name__}: {error}")
    usual = _usual(mutant.model)
    found = [v for v in report.violations if not any(_within(_finding(v), other) for other in usual)]
    said = "; ".join(f"{v.rule} {v.pattern or f'line {v.line}'} {v.found} → {v.expected}" for v in found)
    said = "; ".join([said or "nothing", *(f"not analysed: {u.name}, {u.reason}" for u in report.unanalysed)])
    if mutant.equivalent:
        return Verdict(mutant, bool(found), not found and not report.unanalysed, said)
    blamed = frozenset(name for v in found for name in v.tensors or ("",))
    blamed = frozenset(LOGITS if name == "" else name for name in blamed)
    exact = blamed in mutant.acceptable() and all(v.rule.startswith(mutant.rules) for v in found)
    lines = [v for v in found if not v.tensors]
    exact = exact and all(_at_attention(v, subject) for v in lines) and not report.unanalysed
    return Verdict(mutant, bool(found), exact, said)


def mutated(mutant: Mutant) -> Subject:
    return apply(load(mutant.model, mutant.base), mutant.changes, anatomy(mutant.model))


def audit(subject: Subject, seed: int = 0) -> Any:
    return muaudit.check(
        subject.build, batch=subject.batch, loss=subject.loss, optimizer=subject.optimizer, widths=subject.widths,
        seed=seed,
    )  # fmt: skip


@cache
def _usual(model: str) -> frozenset[Finding]:
    """What the right model is advised."""
    return frozenset(_finding(v) for v in audit(load(model)).violations if v.severity == "advice")


def _finding(violation: Any) -> Finding:
    return violation.rule, violation.severity, violation.tensors, violation.found


def _within(finding: Finding, usual: Finding) -> bool:
    """Whether it is what the right model gets as well, or gets for more tensors (a query at zero is not told to be)."""
    rule, severity, tensors, found = finding
    same = (rule, severity, found) == (usual[0], usual[1], usual[3])
    return same and (tensors == usual[2] or (bool(tensors) and set(tensors) <= set(usual[2])))


def _at_attention(violation: Any, subject: Subject) -> bool:
    """Whether the line shown is one of the attention module's, or the line that plants constants."""
    from . import changes

    if violation.file is not None and Path(violation.file) == Path(changes.__file__):
        return True
    model = subject.build(subject.widths[0])
    classes = {type(m) for m in model.modules() if hasattr(m, "scale")}
    for cls in classes:
        lines, first = inspect.getsourcelines(cls)
        if violation.line is not None and first <= violation.line < first + len(lines):
            return violation.rule == "MUP201"
    return False
