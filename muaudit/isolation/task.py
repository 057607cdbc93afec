"""What is run in a process of its own, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from muaudit.errors import UserError

AUDIT = (
    "muaudit.audits.environment:keep_watching", "torch", "muaudit.audit", "muaudit.targets.resolution",
    "muaudit.targets.spec", "muaudit.targets.classes", "muaudit.targets.eager:for_good",
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


class InternalError(Exception):
    """An exception of muaudit's own in a child: `error` as `ValueError: text`, and its `trace`."""

    def __init__(self, error: str, trace: str = "") -> None:
        super().__init__(error)
        self.error, self.trace = error, trace


Outcome = Done | UserError | InternalError
Progress = Callable[..., None]


def run_tasks(
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    patience: float | None = None,
    progress: Progress | None = None,
    forward_interrupt: bool = False,
) -> list[Outcome]:
    """Run every task in a process of its own, `workers` of them at a time; the outcomes are in the order of the tasks.

    patience: seconds that a task may take without telling of progress, then it is ended. progress: called with what
    `child.tell` is called with. forward_interrupt: the first Ctrl-C is handed to the children, whose results count.

    Raises:
        KeyboardInterrupt: the user's; every child has been ended.
    """
    if not tasks:
        return []
    from muaudit.isolation.crew import Crew

    with scope():
        return Crew(tasks, workers, patience, progress, forward_interrupt).work()


def run_task(task: Task, **settings: Any) -> Any:
    """What the function of one task returned; settings as for `run_tasks`.

    Raises:
        UserError, InternalError: it raised, or its process ended without a result.
        KeyboardInterrupt: the user's.
    """
    (outcome,) = run_tasks([task], **settings)
    if isinstance(outcome, Done):
        return outcome.data
    raise outcome


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
