"""Everything that an audit depended on, as plain data, and whether it is all as it was."""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from muaudit.jobs import environment, facts, lookups
from muaudit.jobs.facts import unrecorded
from muaudit.jobs.notes import Notes
from muaudit.jobs.unseen import unseen
from muaudit.targets.userfiles import is_user_file, module_file, user_modules

_START = time.time_ns()
_TOOL = str(Path(__file__).resolve().parents[1]) + os.sep


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
    early = {os.path.abspath(file) for name, file in user_modules() if name in before and name != "__main__"}
    sources = set(recorder.facts["file"]) - early
    for file in early:
        recorder.note("file", file)
    with unrecorded():
        stamped, late = _installed_files(recorder, before)
        for folder in sorted({*stamped, *recorder.folders}):
            if not is_user_file(os.path.join(folder, "x")):
                recorder.note("names", folder)
        for path in {*facts.changed(recorder.facts), *lookups.changed(recorder.imports), *late}:
            recorder.cannot_see(f"{path} changed while the audit ran")
        for reason in unseen(list(_python(sources)), recorder.native):
            recorder.cannot_see(reason)
        stamps = _stamps(stamped)
    return Consulted(
        {kind: dict(answers) for kind, answers in recorder.facts.items()},
        {folder: dict(names) for folder, names in recorder.imports.items()},
        stamped,
        stamps,
        tuple(sorted(recorder.variables.asked)),
        tuple(recorder.unseen),
    )


def _installed_files(recorder: Notes, before: Collection[str]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """What is loaded of Python, packages and native libraries, by folder; and what changed since it was loaded."""
    noted = recorder.facts["file"]
    foreign = list(_foreign_modules())
    modules = {file: recorder.start for name, file in foreign if name not in before}
    modules |= {file: _START for name, file in foreign if name in before}
    modules |= {file: _START for file in _mapped() if file not in noted and file not in modules}
    by_folder: dict[str, list[str]] = defaultdict(list)
    late = []
    for file, since in modules.items():
        by_folder[os.path.dirname(file)].append(os.path.basename(file))
        if _changed_after(file, since):
            late.append(file)
    return {folder: tuple(sorted(names)) for folder, names in sorted(by_folder.items())}, late


def _foreign_modules() -> Iterator[tuple[str, str]]:
    """(name, file) of what is imported of Python and of installed packages."""
    for name, module in list(sys.modules.items()):
        file = module_file(module)
        if isinstance(file, str) and os.path.isabs(file) and not is_user_file(file) and not file.startswith(_TOOL):
            yield name, os.path.abspath(file)


def _mapped() -> set[str]:
    """The files that are mapped into memory, where the system tells: native libraries above all."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            paths = {line.rstrip("\n").split(maxsplit=5)[-1] for line in maps}
    except OSError:
        return set()
    return {path for path in paths if path.startswith("/") and not path.startswith("/dev/") and os.path.isfile(path)}


def _changed_after(file: str, since: int) -> bool:
    try:
        return os.stat(file).st_ctime_ns > since
    except OSError:
        return False


def _stamps(stamped: Mapping[str, Collection[str]]) -> str:
    lines = [facts.answer("stamp", os.path.join(folder, name)) for folder, names in stamped.items() for name in names]
    return facts.digest("\n".join(lines).encode())


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
