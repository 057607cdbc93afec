"""What muaudit says about a generated model, held against its equations.

A right model must have no finding that is an error or a warning, and nothing that was not analysed. A model with a
mistake must have one, and the findings must be exact: taken at their word they repair the model, none of them can be
left out, unless they are just what was changed, and they name no more tensors and lines than the mistake touches. A
finding at its word:

    MUP1xx  the inits of its tensors may be anything
    MUP2xx  the constants on its tensors, or on the attention logits at its line, may be anything
    MUP203  of its tensors, the constants or the learning rates may be anything: scaled down twice, once is right
    MUP3xx  the learning rates of its tensors (MUP311: the eps) may be anything
    MUP4xx  all of these

So where two explanations of a mistake are the same network (a constant between two layers with a relu between them),
either is exact, but nothing that accuses more than it must. Findings are exact as well where, done to the letter, they
repair the model with no more changes of the code than were made (`repair`): a constant on a module is one for its
weight and its bias, and one on a line of a class for all blocks of it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import muaudit

from . import repair
from .mistakes import Mistake
from .model import Model
from .truth import Edit, Truth

_numbers = itertools.count()


@dataclass(frozen=True)
class Said:
    """What a report says: outcome, and its findings in words."""

    outcome: str
    words: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return self.outcome in ("right", "exact")


def of_right(model: Model, folder: Path) -> Said:
    """right, accused, not analysed, not called µP, or crashed."""
    report, words = _audited(model.text(), folder)
    if report is None:
        return Said("crashed", words)
    if _findings(report):
        return Said("accused", words)
    if report.unanalysed:
        return Said("not analysed", words)
    return Said("right" if report.verdict == "mup" else "not called µP", (*words, f"verdict {report.verdict}"))


def of_mistake(mistake: Mistake, folder: Path) -> Said:
    """exact, beside, missed, not analysed or crashed."""
    text = mistake.model.text()
    report, words = _audited(text, folder)
    if report is None:
        return Said("crashed", words)
    found = _findings(report)
    if not found:
        return Said("not analysed" if report.unanalysed else "missed", words)
    edits = [_edits(v, mistake.model.lines(text)) for v in found]
    named = {name for v in found for name in v.tensors or (f"line {v.line}",)}
    exact = len(named) <= len(_places(mistake.names))
    exact = exact and (frozenset().union(*edits) == set(mistake.planted) or is_exact(mistake.model.truth, edits))
    exact = exact or _as_few_changes(mistake, found, text)
    return Said("exact" if exact and not report.unanalysed else "beside", words)


def _as_few_changes(mistake: Mistake, found: list[Any], text: str) -> bool:
    """Whether findings, done to the letter, mend the model with as few changes as were made."""
    asked = repair.changes(found)
    return asked is not None and repair.places(asked) <= mistake.changes and repair.mends(mistake.model, asked, text)


def is_exact(truth: Truth, edits: list[frozenset[Edit]]) -> bool:
    """Whether findings, each a set of edits, repair the model and need each other."""
    if not all(edits) or not truth.explains(frozenset().union(*edits)):
        return False
    return not any(truth.explains(frozenset().union(*edits[:i], *edits[i + 1 :])) for i in range(len(edits)))


def _places(names: frozenset[str]) -> set[str]:
    """A line counts once, however often it runs."""
    return {name.split(" at ")[0] if name.startswith("line ") else name for name in names}


def _findings(report: Any) -> list[Any]:
    return [v for v in report.violations if v.severity in ("error", "warning")]


def _edits(violation: Any, lines: dict[int, frozenset[str]]) -> frozenset[Edit]:
    if not violation.tensors:
        owners = lines.get(violation.line or 0, frozenset())
        return frozenset(("use", o) for o in owners) if violation.rule.startswith("MUP2") else frozenset()
    if violation.rule == "MUP311":
        return frozenset(("eps", n) for n in violation.tensors)
    if violation.rule == "MUP203":
        return frozenset((kind, n) for kind in ("use", "rate") for n in violation.tensors)
    kinds: dict[str, tuple[str, ...]] = {
        "1": ("init",), "2": ("use",), "3": ("rate",), "4": ("init", "use", "rate"),
    }  # fmt: skip
    return frozenset((kind, n) for kind in kinds.get(violation.rule[3], ()) for n in violation.tensors)  # type: ignore[misc]


def _audited(text: str, folder: Path) -> tuple[Any, tuple[str, ...]]:
    """(report, what it says), or (None, the error)."""
    name = f"generated_{next(_numbers)}"
    path = folder / f"{name}.py"
    path.write_text(text)
    try:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            report = muaudit.check(
                module.build, batch=module.batch, loss=module.loss, optimizer=module.optimizer, widths=module.widths
            )
    except Exception as error:
        return None, (f"{type(error).__name__}: {error}",)
    finally:
        path.unlink()
    words = [
        f"{v.rule} {', '.join(v.tensors) or f'line {v.line}'}: {v.found} → {v.expected}" for v in _findings(report)
    ]
    return report, (*words, *(f"not analysed: {u.name}, {u.reason}" for u in report.unanalysed))
