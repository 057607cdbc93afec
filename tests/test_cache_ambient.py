"""What the cache must notice, in a process that has imported nothing for other tests."""

from __future__ import annotations

from own_process import passes


def test_every_change_is_noticed() -> None:
    passes("cache_ambient_apart.py")
