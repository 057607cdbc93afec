"""The cache of audits: an unchanged target answers without importing torch.

An entry is one JSON file, named by what was asked (target, flags, profile, plan) and by what surrounds every audit
(`surroundings`, versions), and good as long as all that the audit read is unchanged (`inputs`). It lies in
`.muaudit_cache` at the root of the repository, or where MUAUDIT_CACHE_DIR says. An entry that cannot be read counts as
none; a folder that cannot be written to does without.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from muaudit.jobs import environment, facts
from muaudit.jobs.job import Audited, Job
from muaudit.jobs.stored import inputs_from, report_from, to_data
from muaudit.jobs.surroundings import surroundings
from muaudit.locations import repository_root
from muaudit.parametrizations.profile_file import is_profile_file
from muaudit.release import __version__

SCHEMA = "muaudit.cache/3"
FOLDER = ".muaudit_cache"
VARIABLE = "MUAUDIT_CACHE_DIR"
_KEPT = 200
_ABANDONED = 3600
"""Seconds after which a file that is being written is one that a killed run has left."""


@dataclass(frozen=True)
class _Asked:
    """A job's key and the environment, as they were before an audit has set anything."""

    key: str
    environment: dict[str, str]


class Cache:
    """The entries of one folder. `load` comes before the audit and `store` after it, of the same object."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._asked: dict[int, _Asked] = {}

    @classmethod
    def here(cls) -> Cache:
        """The cache that belongs to the working directory."""
        chosen = os.environ.get(VARIABLE)
        return cls(Path(chosen) if chosen else repository_root(Path.cwd()) / FOLDER)

    def load(self, job: Job) -> Audited | None:
        """The audit as it was done before; None where there is none, or where anything has changed."""
        asked = self._asked[id(job)] = _Asked(key(job), dict(os.environ))
        try:
            entry = json.loads(self._path(asked).read_text(encoding="utf-8"))
            inputs = inputs_from(entry["inputs"])
            if entry["schema"] != SCHEMA or not inputs.unchanged(asked.environment, entry["environment"]):
                return None
            report = replace(report_from(entry["report"]), name=job.name)
            return Audited(report, inputs, cached=True)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def store(self, job: Job, audited: Audited) -> None:
        """Keep an audit; silently not, where the folder cannot be written to or where it read what was not seen."""
        asked = self._asked.pop(id(job), None) or _Asked(key(job), dict(os.environ))
        if audited.inputs.unseen:
            return
        entry = {
            "schema": SCHEMA,
            "inputs": to_data(audited.inputs),
            "environment": environment.state(audited.inputs.variables, asked.environment),
            "report": to_data(audited.report),
        }
        with contextlib.suppress(OSError):
            self._prepare()
            path = self._path(asked)
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            try:
                temporary.write_text(json.dumps(entry), encoding="utf-8")
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            self._prune()

    def _path(self, asked: _Asked) -> Path:
        return self.folder / f"{asked.key}.json"

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        ignore = self.folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")

    def _prune(self) -> None:
        entries = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        long_ago = time.time() - _ABANDONED
        killed = [path for path in self.folder.glob("*.tmp") if path.stat().st_mtime < long_ago]
        for path in (*entries[:-_KEPT], *killed):
            path.unlink(missing_ok=True)


def key(job: Job) -> str:
    """The name of a job's entry. Selecting rules and answering findings come after the audit, and are no part of it."""
    text = json.dumps([*_versions(), surroundings(), _wanted(job)], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def _wanted(job: Job) -> list[Any]:
    files = (job.plan, job.options.bsh, job.profile if is_profile_file(job.profile) else None)
    contents = [facts.answer("file", str(file)) if file else None for file in files]
    options = {name: repr(value) for name, value in vars(job.options).items()}
    return [
        job.text,
        options,
        job.profile,
        str(job.plan),
        contents,
        job.target_width,
        job.seed,
        job.fixes,
        job.base_width,
        job.axis,
    ]


@lru_cache(maxsize=1)
def _versions() -> tuple[str, ...]:
    """muaudit with the stamps of its files, so that a checkout that is worked on counts as new; torch unimported."""
    home = Path(__file__).resolve().parents[1]
    own = sorted((str(file.relative_to(home)), *_stamp(file)) for file in home.rglob("*.py"))
    digested = hashlib.sha256(repr(own).encode()).hexdigest()
    return __version__, digested, _version("torch")


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_ctime_ns, status.st_size


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
