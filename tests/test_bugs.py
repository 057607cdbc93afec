"""Single bugs in right models: each is found, the planted tensor is blamed, nothing else is; right changes pass."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from bugs.catalogue import BUGS, Bug
from bugs.equivalents import EQUIVALENTS, Equivalent
from bugs.plant import Edit, Fixture, fixture, train
from matrix import some

import muaudit

TIED = {"lm_head.weight": "transformer.wte.weight"}  # one tensor, two names


def audit(subject: Fixture) -> Any:
    return muaudit.check(
        subject.build, batch=subject.batch, loss=subject.loss, optimizer=subject.optimizer, widths=subject.widths
    )


@cache
def usual_advice(name: str) -> frozenset[tuple[str, tuple[str, ...]]]:
    """What the unharmed fixture is advised."""
    return frozenset((v.rule, v.tensors) for v in audit(fixture(name)).violations if v.severity == "advice")


def planted(case: Bug, folder: Path) -> Fixture:
    if callable(case.plant):
        return case.plant(fixture(case.fixture))
    return fixture(case.fixture, (case.plant,) if isinstance(case.plant, Edit) else case.plant, folder)


def changed(case: Equivalent, folder: Path) -> Fixture:
    subject = fixture(case.fixture, case.edits, folder)
    return case.mutation(subject) if case.mutation else subject


def label(case: Bug | Equivalent) -> str:
    return f"{case.fixture} {case.name}".replace(" ", "-")


@pytest.mark.parametrize("case", some(BUGS, BUGS[::2], label))
def test_bug_is_found_and_nothing_else(case: Bug, tmp_path: Path) -> None:
    subject = planted(case, tmp_path)
    found = [
        v
        for v in audit(subject).violations
        if v.severity != "advice" or (case.advice and (v.rule, v.tensors) not in usual_advice(case.fixture))
    ]
    shown = "\n".join(f"{v.rule} {v.severity} {v.tensors} found {v.found} expected {v.expected}" for v in found)
    expected = set(subject.names(*case.tensors)) if case.tensors else set()
    names = set(subject.names("*"))
    blamed = {name if name in names else TIED.get(name, name) for v in found for name in v.tensors}
    assert found, "nothing found"
    assert blamed == expected, shown
    assert all(v.rule.startswith(case.rules) for v in found), shown
    assert case.findings in (None, len(found)), shown
    if case.line:
        lines = subject.path.read_text().splitlines()
        assert all(v.line and case.line in lines[v.line - 1] for v in found), shown


@pytest.mark.parametrize("case", some(EQUIVALENTS, EQUIVALENTS[::2], label))
def test_right_change_passes(case: Equivalent, tmp_path: Path) -> None:
    subject = changed(case, tmp_path)
    found = [v for v in audit(subject).violations if v.severity != "advice"]
    assert not found, "\n".join(f"{v.rule} {v.tensors} found {v.found} expected {v.expected}" for v in found)


@pytest.mark.parametrize("case", some(BUGS, BUGS[::2], label))
def test_mutant_trains(case: Bug, tmp_path: Path) -> None:
    subject = planted(case, tmp_path)
    assert case.tensors == () or subject.names(*case.tensors)
    assert all(loss == loss for width in subject.widths for loss in train(subject, width))


@pytest.mark.parametrize("case", [case for case in EQUIVALENTS if case.same_losses], ids=label)
def test_gauge_move_trains_alike(case: Equivalent, tmp_path: Path) -> None:
    width = 2 * fixture(case.fixture).base
    before, after = train(fixture(case.fixture), width, 3), train(changed(case, tmp_path), width, 3)
    assert after == pytest.approx(before, rel=2e-4)


def test_enough_bugs() -> None:
    assert len(BUGS) >= 60
    assert len({label(case) for case in BUGS}) == len(BUGS)
