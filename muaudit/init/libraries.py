"""Libraries that the candidates import: imported once, for all processes in which one is tried."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from muaudit.errors import UserError
from muaudit.reading import read_bytes
from muaudit.targets.candidates import Candidate

_FEW = 3  # candidates, below which nothing is gained
_PATIENCE = 60  # seconds
_MARK = "importable:"
_HERE = ("torch", "numpy", "muaudit")
_THREADS = Path("/proc/self/task")


def shared_imports(folder: Path, found: Sequence[Candidate]) -> tuple[str, ...]:
    """The libraries that a fork may start from: those that are installed, and that start no thread when imported."""
    names = sorted(set(_libraries(folder, found))) if len(found) >= _FEW and _THREADS.is_dir() else []
    if not names:
        return ()
    code = f"import sys; sys.path[:] = {sys.path!r}; from muaudit.init.libraries import main; main({names!r})"
    try:
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=_PATIENCE, cwd=folder
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    told = ran.stdout.rpartition(_MARK)[2].split() if ran.returncode == 0 else []
    return tuple(name for name in told if name in names)


def main(names: Sequence[str]) -> None:
    """Say which of these can be imported, in an interpreter of its own."""
    print(_MARK, *importable(names), flush=True)
    os._exit(0)  # what a library does at exit is not waited for


def importable(names: Iterable[str]) -> list[str]:
    """Those that can be imported, up to the first that starts a thread. Imports them."""
    found: list[str] = []
    for name in names:
        before = len(os.listdir(_THREADS))
        try:
            importlib.import_module(name)
        except (Exception, SystemExit):
            continue
        if len(os.listdir(_THREADS)) > before:
            return found
        found.append(name)
    return found


def _libraries(folder: Path, found: Sequence[Candidate]) -> Iterable[str]:
    for each in found:
        try:
            tree = ast.parse(read_bytes(folder / each.file)) if each.file.endswith(".py") else ast.Module([], [])
        except (UserError, ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        yield from (name for name in _imported(tree) if _is_library(name, folder))


def _imported(tree: ast.Module) -> Iterable[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _is_library(name: str, folder: Path) -> bool:
    """Whether a name is neither Python's, nor torch's, nor of a module of the folder."""
    own = name == folder.name or (folder / name).exists() or (folder / f"{name}.py").exists()
    return not own and name not in _HERE and name not in sys.stdlib_module_names
