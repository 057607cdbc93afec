"""Everything that an audit depended on, as plain data, and whether it is all as it was."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from muaudit.jobs import environment, facts, lookups
from muaudit.jobs.facts import unrecorded
from muaudit.jobs.notes import Notes
from muaudit.jobs.unseen import unseen
from muaudit.targets.userfiles import is_user_file, module_files, user_modules

_START = time.time_ns()
_TOOL = str(Path(__file__).resolve().parents[1]) + os.sep


_Loaded = Mapping[str, tuple[int, os.stat_result | None]]
"""Files, with when they were loaded at the earliest and what the system says of them."""


@dataclass(frozen=True)
class Consulted:
    """What was read, with the answers.

    facts: about files and folders, by kind and path. imports: where the user's modules were looked for, by folder and
    name. stamped: files of Python, of packages, and native libraries, by folder; `stamps` is one digest of all their
    stamps. variables: environment variables, prefixes with a `*`. unseen: why the result is not kept.
    """

    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    imports: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    stamped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stamps: str = ""
    variables: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    def sources(self) -> tuple[str, ...]:
        """The user's own files, modules and data, sorted."""
        read = self.facts.get("file", {})
        return tuple(sorted(path for path, was in read.items() if is_user_file(path) and _is_content(was)))

    def unchanged(self, variables: Mapping[str, str], state: str) -> bool:
        """Whether a fresh audit would read the same. state: what `environment.state` was."""
        return (
            environment.state(self.variables, variables) == state
            and next(facts.changed(self.facts), None) is None
            and not lookups.changed(self.imports)
            and _stamps(self.stamped) == self.stamps
        )


def gather(recorder: Notes, before: Collection[str]) -> Consulted:
    """The inputs of an audit that has ended. before: the modules that were loaded before it."""
    modules = module_files()
    early = {os.path.abspath(file) for name, file in user_modules(modules) if name in before and name != "__main__"}
    sources = set(recorder.facts["file"]) - early
    for file in early:
        recorder.note("file", file)
    with unrecorded():
        loaded = _installed_files(recorder, before, modules)
        late = {file for file, (since, status) in loaded.items() if status is not None and status.st_ctime_ns > since}
        for path in {*facts.changed(recorder.facts), *lookups.changed(recorder.imports), *late}:
            recorder.cannot_see(f"{path} changed while the audit ran")
        stamped = _by_folder(loaded)
        for folder in sorted({*stamped, *recorder.folders}):  # as they are now: nothing of it was answered before
            if not is_user_file(os.path.join(folder, "x")):
                recorder.note("names", folder)
        for reason in unseen(list(_python(sources)), recorder.native, modules):
            recorder.cannot_see(reason)
        stamps = _stamps(stamped, loaded)
    return Consulted(
        {kind: dict(answers) for kind, answers in recorder.facts.items()},
        {folder: dict(names) for folder, names in recorder.imports.items()},
        stamped,
        stamps,
        tuple(sorted(recorder.variables.asked)),
        tuple(recorder.unseen),
    )


def _installed_files(recorder: Notes, before: Collection[str], modules: Iterable[tuple[str, str]]) -> _Loaded:
    """What is loaded of Python, packages and native libraries."""
    noted = recorder.facts["file"]
    foreign = [(name, _absolute(file)) for name, file in modules if _is_foreign(file)]
    since = {file: recorder.start for name, file in foreign if name not in before}
    since |= {file: _START for name, file in foreign if name in before}
    since |= {file: _START for file in _mapped() if file not in noted and file not in since}
    return {file: (start, facts.status(file)) for file, start in since.items()}


def _is_foreign(file: str) -> bool:
    """Whether a module's file is of Python or of an installed package."""
    return os.path.isabs(file) and not is_user_file(file) and not file.startswith(_TOOL)


@cache
def _absolute(file: str) -> str:
    """Of a path that is absolute already, without what `..` takes back; one process asks thousands of times."""
    return os.path.abspath(file)


def _by_folder(files: Iterable[str]) -> dict[str, tuple[str, ...]]:
    by_folder: dict[str, list[str]] = defaultdict(list)
    for file in files:
        folder, name = os.path.split(file)
        by_folder[folder].append(name)
    return {folder: tuple(sorted(names)) for folder, names in sorted(by_folder.items())}


def _mapped() -> set[str]:
    """The files that are mapped into memory, where the system tells: native libraries above all."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            paths = {line.rstrip("\n").split(maxsplit=5)[-1] for line in maps}
    except OSError:
        return set()
    return {path for path in paths if path.startswith("/") and not path.startswith("/dev/") and os.path.isfile(path)}


def _stamps(stamped: Mapping[str, Collection[str]], known: _Loaded | None = None) -> str:
    """A digest of the stamps of all these files. known: what the system has said of them just now."""
    lines = [_stamp(os.path.join(folder, name), known or {}) for folder, names in stamped.items() for name in names]
    return facts.digest("\n".join(lines).encode())


def _stamp(file: str, known: _Loaded) -> str:
    status = known[file][1] if file in known else facts.status(file)
    return facts.answer("stamp", file) if status is None else facts.stamp_of(status)


def _python(paths: Collection[str]) -> Iterator[bytes]:
    """The text of the user's Python files among these."""
    for path in paths:
        if path.endswith(".py") and is_user_file(path) and os.path.isfile(path):
            try:
                yield Path(path).read_bytes()
            except OSError:
                continue


def _is_content(answer: str) -> bool:
    return answer not in (facts.ABSENT, "folder") and not answer.startswith(("error", "other"))
