"""The parent's side: starts tasks, listens to them, ends those that hang, and says what became of each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Any

from muaudit.errors import UserError
from muaudit.isolation.exit_words import exit_words
from muaudit.isolation.links import Event, Events, Launch, Link
from muaudit.isolation.processes import LINUX
from muaudit.isolation.task import AUDIT, Done, InternalError, LostTarget, NotBegun, Outcome, Progress, Task, scope

_LEAVE_SECONDS = 5.0
"""What a child that has answered may take for what Python does at exit."""
_CLEAR_UP_SECONDS = 2.0
"""What children that are interrupted may take to clear up."""
_LONG = 3600.0


class _Running:
    """A task whose process has been asked for."""

    def __init__(self, task: Task, link: Link, patience: float | None) -> None:
        self.task, self.link, self.patience = task, link, patience
        self.answer: dict[str, Any] | None = None
        self.ended = self.silent = self.late = False  # silent: there is nothing more to be read
        self.status: int | None = None
        self.why = ""
        self.deadline = float("inf")  # from its start on: the nursery has to get ready first

    def heard(self, seconds: float | None) -> None:
        self.deadline = time.monotonic() + seconds if seconds is not None else float("inf")

    @property
    def over(self) -> bool:
        return self.ended and self.silent

    @property
    def lost(self) -> bool:
        """Whether it ended without an answer, or with one that is no user's error."""
        error = (self.answer or {}).get("error")
        return self.answer is None or (
            error is not None and not (isinstance(error, dict) and error.get("kind") == "user")
        )

    def outcome(self) -> Outcome:
        name = self.task.name
        if self.answer is not None:
            return _answered(name, self.answer)
        if self.late:
            return LostTarget(name, f"took longer than {self.patience:g} s", "--timeout SECONDS gives it more")
        return LostTarget(name, self.why or exit_words(self.status))


def _answered(name: str, answer: dict[str, Any]) -> Outcome:
    """What a child says of itself; user code may have said it, so nothing of it is believed but texts and data."""
    if "done" in answer:
        return Done(answer["done"])
    told = answer["error"] if isinstance(answer.get("error"), dict) else {}
    kind, message, hint, trace = (str(told.get(key, "")) for key in ("kind", "message", "hint", "trace"))
    error = UserError(message, hint) if kind == "user" else LostTarget(name, message) if kind == "lost" else None
    if error is None:
        return InternalError(message or "its process answered with something else", trace)
    if trace:
        error.__cause__ = InternalError(message, trace)
    return error


class Crew:
    """All tasks of one call of `run_tasks`."""

    def __init__(
        self, tasks: Sequence[Task], workers: int, patience: float | None, progress: Progress | None, forward: bool,
        within: float | None = None,
    ) -> None:  # fmt: skip
        self.closes = time.monotonic() + within if within is not None else float("inf")
        self.waiting = list(enumerate(tasks))[::-1]
        self.workers, self.patience, self.progress = max(1, workers), patience, progress
        self.forward, self.interrupted = forward, False
        self.running: dict[int, _Running] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.events: Events = SimpleQueue()
        home = import_module(f"muaudit.isolation.{'forked' if LINUX else 'spawned'}")
        self.launch: Launch = home.launcher(tasks[0].preload, self.events)

    def work(self) -> list[Outcome]:
        """Until every task has an outcome. Raises KeyboardInterrupt."""
        try:
            while self.waiting or self.running:
                try:
                    self._once()
                except KeyboardInterrupt:
                    self._interrupt()
            if self.interrupted and not all(isinstance(each, Done) for each in self.outcomes.values()):
                raise KeyboardInterrupt
        finally:
            for each in self.running.values():
                each.link.kill()
        return [self.outcomes[number] for number in sorted(self.outcomes)]

    def _once(self) -> None:
        while self.waiting and len(self.running) < self.workers:
            number, task = self.waiting.pop()
            if time.monotonic() >= self.closes:
                self.outcomes[number] = NotBegun(task.name, "not begun: the time was over")
                continue
            self.running[number] = _Running(task, self.launch(number, task), self.patience)
        if not self.running:
            return
        now = time.monotonic()
        wait = min(each.deadline for each in self.running.values()) - now
        with suppress(Empty):
            self._handle(self.events.get(timeout=min(max(wait, 0.0), _LONG)))
            return
        for each in self.running.values():
            if each.deadline <= time.monotonic():
                each.late = each.answer is None
                each.heard(None)
                each.link.kill()

    def _handle(self, event: Event) -> None:
        each = self.running.get(event.number)
        if each is None:
            return
        if event.kind == "started":
            each.heard(self.patience)
        elif event.kind == "message":
            self._message(each, event.value)
        elif event.kind == "silent":
            each.silent = True
        elif event.kind == "ended":
            each.ended, each.status = True, event.value
            each.link.hang_up()
        elif event.kind == "lost":
            each.ended, each.why = True, event.value
            each.link.hang_up()
        if each.over:
            each.link.close(each.lost)
            self.outcomes[event.number] = each.outcome()
            del self.running[event.number]

    def _message(self, each: _Running, message: Any) -> None:
        if not isinstance(message, dict) or each.answer is not None or each.late:
            return
        if "progress" in message:
            each.heard(self.patience)
            if self.progress is not None and isinstance(message["progress"], list) and message["progress"]:
                with suppress(TypeError, ValueError):
                    self.progress(*message["progress"])
        else:
            each.answer = message
            each.heard(_LEAVE_SECONDS)

    def _interrupt(self) -> None:
        """The user's Ctrl-C: the children's to answer where their results count, once; else the end."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted, self.waiting = True, []
        for each in self.running.values():
            each.link.interrupt()
        if not self.forward:
            self._let_clear_up()
            raise KeyboardInterrupt

    def _let_clear_up(self) -> None:
        """Half-written files are taken away by what writes them."""
        until = time.monotonic() + _CLEAR_UP_SECONDS
        while self.running and time.monotonic() < until:
            with suppress(Empty):
                self._handle(self.events.get(timeout=_CLEAR_UP_SECONDS / 20))


def begin(preload: Sequence[str] = AUDIT) -> None:
    """Let what tasks will need be imported from now on, beside all that muaudit itself has to import before it asks.

    Only inside a `scope`, whose end also ends this. Nothing happens where every task gets a fresh interpreter.
    """
    if LINUX:
        import_module("muaudit.isolation.forked").begin(preload)


def run_tasks(
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    patience: float | None = None,
    progress: Progress | None = None,
    forward_interrupt: bool = False,
    within: float | None = None,
) -> list[Outcome]:
    """Run every task in a process of its own, `workers` of them at a time; the outcomes are in the order of the tasks.

    patience: seconds that a task may take without telling of progress, then it is ended. progress: called with what
    `child.tell` is called with. forward_interrupt: the first Ctrl-C is handed to the children, whose results count.
    within: seconds after which no further task is begun; the outcome of the rest is NotBegun.

    Raises:
        KeyboardInterrupt: the user's; every child has been ended.
    """
    if not tasks:
        return []
    with scope():
        return Crew(tasks, workers, patience, progress, forward_interrupt, within).work()


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
