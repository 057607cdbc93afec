"""What pytest loads at its start: a fixture, and nothing but pytest is imported for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def assert_mup() -> Callable[..., Any]:
    """`muaudit.testing.assert_mup`: audit a model's width scaling, and fail with the report where it is not µP."""
    from muaudit.testing import assert_mup

    return assert_mup
