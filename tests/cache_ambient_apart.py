"""Whatever can change between two audits: the cache notices it, or keeps nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from ambient import GROUPS, Case, tried

QUICK = 2  # of every group; the others with `pytest -m slow`
CASES = [
    pytest.param(case, id=f"{group}: {case.name}", marks=[pytest.mark.slow] if number >= QUICK else [])
    for group, cases in GROUPS.items()
    for number, case in enumerate(cases)
]


@pytest.mark.parametrize("case", CASES)
def test_a_change_is_noticed(tmp_path: Path, case: Case) -> None:
    outcome = tried(case, tmp_path)
    if not case.kept:
        assert outcome.unseen
        return
    assert outcome.before != outcome.after, "the change changes nothing"
    assert not outcome.unseen
    assert outcome.steady, "it is not kept although nothing has changed"
    assert not outcome.hit


def test_there_are_many() -> None:
    assert len({case.values[0].name for case in CASES}) == len(CASES) >= 100  # type: ignore[union-attr]
