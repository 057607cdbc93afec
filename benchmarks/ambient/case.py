"""One change of what surrounds a model, and what the cache makes of it.

A model file that computes a `SIZE` (or `size()`, when the model is built) is loaded in a forked process as an audit
loads it, and what it read is recorded; then something is changed. The truth is what a second process computes. Where
that differs, the record must not call itself unchanged; before the change it must, unless it gave a reason why nothing
is kept.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muaudit.jobs import environment
from muaudit.jobs.consulted import Consulted, gather
from muaudit.jobs.listening import recording
from muaudit.targets.loader import load_file

Change = Callable[[Path], Any]


@dataclass(frozen=True)
class Case:
    """name: what changes. model: the text of model.py. files: what lies beside it. change: of files; set: of variables.

    prepare: what else there is before. during: a change while the model is loaded, after what it reads. kept: whether
    there is anything to be kept.
    """

    name: str
    model: str
    change: Change | None = None
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    set: Mapping[str, str | None] = field(default_factory=dict)
    prepare: Change | None = None
    during: Change | None = None
    kept: bool = True


@dataclass(frozen=True)
class Outcome:
    """unseen: why nothing is kept. before, after: what the model computed. hit: whether the record still answered after
    the change; steady: whether it did before."""

    unseen: tuple[str, ...]
    before: Any
    after: Any
    hit: bool
    steady: bool

    @property
    def stale(self) -> bool:
        """Whether the cache would have answered with what is not so any more."""
        return self.hit and not self.unseen and self.before != self.after


def tried(case: Case, root: Path) -> Outcome:
    """Do it in this folder, which is empty."""
    _write(root, {"model.py": case.model, **case.files})
    if case.prepare:
        case.prepare(root)
    with _variables(dict.fromkeys(case.set)):
        size, inputs = _apart(root, lambda: _recorded(root, case.during))
        state = environment.state(inputs.variables, os.environ)
        steady = inputs.unchanged(os.environ, state)
        if case.change:
            case.change(root)
        with _variables(case.set):
            hit = inputs.unchanged(os.environ, state)
            after = _apart(root, lambda: _computed(root))
    return Outcome(inputs.unseen, size, after, hit, steady)


def _apart(root: Path, work: Callable[[], Any]) -> Any:
    """What it returns, in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.chdir(root)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(work(), pipe)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"the process of {root} ended with {status}")
    return pickle.loads(data)


def _computed(root: Path) -> Any:
    module: Any = load_file(root / "model.py")
    return module.size() if hasattr(module, "size") else module.SIZE


def _recorded(root: Path, during: Change | None) -> tuple[Any, Consulted]:
    before = set(sys.modules)
    with recording() as recorder:
        size = _computed(root)
        if during:
            during(root)
        return size, gather(recorder, before)


def _write(root: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def _variables(values: Mapping[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    try:
        for name, value in values.items():
            _put(name, value)
        yield
    finally:
        for name, value in before.items():
            _put(name, value)


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
