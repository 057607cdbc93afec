"""What is run in a process of its own, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from muaudit.errors import UserError

AUDIT = (
    "muaudit.jobs.environment:keep_watching", "torch", "muaudit.audit", "muaudit.targets.resolution",
    "muaudit.targets.spec", "muaudit.targets.model_classes", "muaudit.targets.eager:for_good", "muaudit.jobs.all_jobs",
    "muaudit.targets.memory:keep_the_heap",
)  # fmt: skip
"""What an audit imports in any case."""


@dataclass(frozen=True)
class Task:
    """A function of muaudit's, for one target.

    name: what messages call the target. entry: `package.module:function`; it is called with `args` and returns plain
    data (what JSON has). preload: modules that all children share, imported once, and functions (`module:name`) that
    are called between them. silent: what is printed is dropped.
    """

    name: str
    entry: str
    args: tuple[Any, ...] = ()
    preload: tuple[str, ...] = AUDIT
    silent: bool = False


@dataclass(frozen=True)
class Done:
    """What the function returned."""

    data: Any


class LostTarget(UserError):
    """The process of a target ended without a result, or was ended: `what` happened, without the target's name."""

    def __init__(self, name: str, what: str, hint: str = "") -> None:
        super().__init__(f"{name}: {what}", hint)
        self.what = what if not hint else f"{what}\n{hint}"


class NotBegun(LostTarget):
    """A task that was not begun, as the time for all of them was over."""


class InternalError(Exception):
    """An exception of muaudit's own in a child: `error` as `ValueError: text`, and its `trace`."""

    def __init__(self, error: str, trace: str = "") -> None:
        super().__init__(error)
        self.error, self.trace = error, trace


Outcome = Done | UserError | InternalError
Progress = Callable[..., None]


@contextmanager
def scope() -> Iterator[None]:
    """One nursery for all tasks inside; the outermost scope ends it."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            while closers:
                closers.pop()()


_depth = 0
closers: list[Callable[[], None]] = []
"""What the end of the outermost scope calls."""
