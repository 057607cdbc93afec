"""Where imports were looked for: what appears in a folder of the user's may shadow what was found elsewhere.

For every folder that the import system searched, and every name that it searched for there, what would serve as a
module of that name. Folders of Python and of installed packages are compared by their names as a whole instead.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Mapping

from muaudit.jobs.facts import unrecorded

Lookups = Mapping[str, Mapping[str, str]]
"""By folder, then by name: the entries that would be a module of that name."""


def found(folder: str, names: Collection[str]) -> dict[str, str]:
    """What there is in a folder for each name: `net.py`, or `net/` and `net/__init__.py` for a package."""
    with unrecorded():
        by_stem = _by_stem(folder)
        return {name: " ".join(_served(folder, by_stem.get(name, ()))) for name in names}


def is_module(served: str) -> bool:
    """Whether what is there is a module or a package, and not only a folder that may become part of a namespace."""
    return any(not each.endswith("/") for each in served.split())


def changed(lookups: Lookups) -> list[str]:
    """The folders where another module would be found now."""
    return [folder for folder, names in lookups.items() if found(folder, names) != names]


def _by_stem(folder: str) -> dict[str, list[str]]:
    entries: dict[str, list[str]] = defaultdict(list)
    try:
        for name in os.listdir(folder):
            entries[name.partition(".")[0]].append(name)
    except OSError:
        pass
    return entries


def _served(folder: str, entries: Collection[str]) -> list[str]:
    served: list[str] = []
    for entry in sorted(entries):
        if "." in entry:
            served += [entry] if entry.endswith((".py", ".pyc", ".so", ".pyd")) else []
        elif os.path.isdir(os.path.join(folder, entry)):
            inside = _by_stem(os.path.join(folder, entry)).get("__init__", [])
            served += [f"{entry}/", *(f"{entry}/{name}" for name in sorted(inside) if "." in name)]
    return served
