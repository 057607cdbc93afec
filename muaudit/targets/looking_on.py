"""Seeing which Python functions run: a profiler that lets another one see them too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def looking_on(called: Callable[[FrameType], None]) -> Iterator[None]:
    """Tell of every call of a Python function while the block runs.

    A profiler that was set before looks on too, and is back after it.
    """
    before: Any = sys.getprofile()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            called(frame)
        if callable(before):
            before(frame, event, argument)

    sys.setprofile(note)
    try:
        yield
    finally:
        if before is None or callable(before):
            sys.setprofile(before)
        else:  # one of C, such as cProfile's, which only it can put back; what the block called is not in it
            sys.setprofile(None)
            before.enable()
