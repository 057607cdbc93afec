"""The cache of audits: an unchanged target answers without importing torch.

An entry is one JSON file, named by what was asked (target, flags, profile, plan, versions of muaudit, torch and
Python) and good as long as every file that the audit read is unchanged. It lies in `.muaudit_cache` at the root of the
repository, or where MUAUDIT_CACHE_DIR says. An entry that cannot be read counts as none; a folder that cannot be
written to does without.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import muaudit
from muaudit.audits import environment
from muaudit.audits.job import Audited, Job
from muaudit.audits.sources import digest, unchanged
from muaudit.audits.stored import report_from, to_data
from muaudit.parametrizations.profile_file import is_profile_file
from muaudit.report.places import repository_root

SCHEMA = "muaudit.cache/2"
FOLDER = ".muaudit_cache"
VARIABLE = "MUAUDIT_CACHE_DIR"
_KEPT = 200


class Cache:
    """The entries of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = dict(os.environ)  # as it was before an audit has set anything

    @classmethod
    def here(cls) -> Cache:
        """The cache that belongs to the working directory."""
        chosen = os.environ.get(VARIABLE)
        return cls(Path(chosen) if chosen else repository_root(Path.cwd()) / FOLDER)

    def load(self, job: Job) -> Audited | None:
        """The audit as it was done before; None where there is none, or where anything has changed."""
        self._environment = dict(os.environ)
        path = self.folder / f"{key(job)}.json"
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            if entry["schema"] != SCHEMA or not unchanged(entry["files"], entry["packages"]):
                return None
            if entry["environment"] != environment.state(entry["variables"], self._environment):
                return None
            report = replace(report_from(entry["report"]), name=job.name)
            return Audited(report, tuple(entry["files"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def store(self, job: Job, audited: Audited) -> None:
        """Keep an audit; silently not, where the folder cannot be written to."""
        files = {file: digest(file) for file in audited.sources}
        entry = {
            "schema": SCHEMA,
            "files": files,
            "packages": dict(audited.packages),
            "variables": list(audited.variables),
            "environment": environment.state(audited.variables, self._environment),
            "report": to_data(audited.report),
        }
        with contextlib.suppress(OSError):
            self._prepare()
            path = self.folder / f"{key(job)}.json"
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            try:
                temporary.write_text(json.dumps(entry), encoding="utf-8")
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            self._prune()

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        ignore = self.folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")

    def _prune(self) -> None:
        entries = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in entries[:-_KEPT]:
            path.unlink(missing_ok=True)


def key(job: Job) -> str:
    """The name of a job's entry. Selecting rules and answering findings come after the audit, and are no part of it."""
    text = json.dumps([*_versions(), _asked(job)], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _asked(job: Job) -> list[Any]:
    plan, bsh = (digest(str(file)) if file else None for file in (job.plan, job.options.bsh))
    # Without a target the choice depends on which files there are.
    beside = sorted(file.name for file in Path.cwd().glob("*.py")) if job.text is None else None
    options = {name: repr(value) for name, value in vars(job.options).items()}
    profile = digest(job.profile) if is_profile_file(job.profile) else None
    return [
        os.getcwd(), job.text, options, job.profile, profile, plan, bsh, job.target_width, job.seed, job.fixes,
        job.base_width, beside,
    ]  # fmt: skip


@lru_cache(maxsize=1)
def _versions() -> tuple[str, ...]:
    """muaudit with the stamps of its files, so that a checkout that is worked on counts as new; torch unimported."""
    home = Path(muaudit.__file__).parent
    own = sorted((str(file.relative_to(home)), *_stamp(file)) for file in home.rglob("*.py"))
    digested = hashlib.sha256(repr(own).encode()).hexdigest()
    return muaudit.__version__, digested, _version("torch"), sys.version


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
