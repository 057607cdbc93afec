"""Which files of a repository may hold a model, by their text alone: nothing is imported yet."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from muaudit.errors import UserError
from muaudit.reading import parse_json, read_bytes

_SKIPPED_FOLDERS = frozenset(
    ("tests", "test", "testing", "docs", "doc", "build", "dist", "node_modules", "site-packages", "__pycache__",
     "env", "venv", "wandb", "outputs")
)  # fmt: skip
_SKIPPED_FILES = ("test_", "conftest.py", "setup.py", "noxfile.py")
_LARGEST = 2_000_000  # bytes of a source file that is read


@dataclass(frozen=True)
class Candidate:
    """A file that defines modules with a forward, a `build(width)`, or a Hugging Face config.

    file: from the folder that is looked through.
    """

    file: str


def candidates(folder: Path) -> list[Candidate]:
    """The candidates at and below a folder, by path: what git knows or could add, else all that is not hidden."""
    found = (_candidate(folder, file) for file in sorted(set(_files(folder))) if _wanted(file))
    return [each for each in found if each is not None]


def _files(folder: Path) -> list[str]:
    command = ["git", "-C", str(folder), "ls-files", "-co", "--exclude-standard", "-z", "--", "*.py", "*config.json"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout
        return [os.fsdecode(name) for name in listed.split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository
        return list(_walked(folder))


def _walked(folder: Path) -> Iterator[str]:
    for where, folders, files in os.walk(folder):
        hidden = [name for name in folders if name.startswith(".") or (Path(where) / name / "pyvenv.cfg").exists()]
        folders[:] = [name for name in folders if name not in hidden]
        for name in files:
            if name.endswith((".py", "config.json")):
                yield (Path(where) / name).relative_to(folder).as_posix()


def _wanted(file: str) -> bool:
    *folders, name = file.split("/")
    hidden = any(part in _SKIPPED_FOLDERS or part.startswith(".") for part in folders)
    return not hidden and not name.startswith(_SKIPPED_FILES) and not name.endswith("_test.py")


def _candidate(folder: Path, file: str) -> Candidate | None:
    try:
        data = read_bytes(folder / file, most=_LARGEST)
        if file.endswith(".json"):
            content = parse_json(data.decode()) if data else None
            return Candidate(file) if isinstance(content, dict) and "model_type" in content else None
        if b"def forward" not in data and b"def build" not in data:
            return None
        tree = ast.parse(data)
    except (UserError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return Candidate(file) if any(map(_holds_model, tree.body)) else None


def _holds_model(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name == "build" and [each.arg for each in node.args.args][:1] == ["width"]
    return isinstance(node, ast.ClassDef) and bool(node.bases) and any(
        isinstance(each, ast.FunctionDef) and each.name == "forward" for each in node.body
    )  # fmt: skip
