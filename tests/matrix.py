"""A matrix of cases: the quick run takes every row and every column once, `pytest -m slow` takes the others too."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import product
from typing import Any

import pytest


def matrix(*axes: Sequence[Any], ids: Any = str) -> list[Any]:
    """All combinations as parameters, those off the diagonal marked slow; shorter axes repeat along it."""
    longest = max(len(axis) for axis in axes)
    diagonal = [tuple(axis[number % len(axis)] for axis in axes) for number in range(longest)]
    return some(list(product(*axes)), diagonal, ids)


def some(cases: Sequence[Any], quick: Collection[Any], ids: Any = str) -> list[Any]:
    """All cases as parameters, those that are not among the quick ones marked slow."""
    return [_case(case, case in quick, ids) for case in cases]


def _case(case: Any, quick: bool, ids: Any) -> Any:
    values = case if type(case) is tuple else (case,)
    return pytest.param(
        *values, id="-".join(str(ids(each)) for each in values), marks=[] if quick else [pytest.mark.slow]
    )
