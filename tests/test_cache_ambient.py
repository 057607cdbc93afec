"""What the cache must notice, in a process that has imported nothing for other tests."""

from __future__ import annotations

import pytest
from own_process import passes


@pytest.mark.parametrize("marked", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_every_change_is_noticed(marked: str) -> None:
    passes("cache_ambient_apart.py", marked)
