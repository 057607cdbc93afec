"""The tables of files and of what is right for each, read from YAML."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent
HALVES = ("written", "packages")
REASONS = {
    "literals": r"(?:literal|numbers in the code|constants? of the module)[\s\S]*\.py:\d+",
    "nothing to judge": r"nothing to judge",
    "no width": r"no argument that looks like a width",
    "method": r"has no forward|does not define forward",
}
"""What a right refusal has to say, by the kind of refusal that the tables name."""


@dataclass(frozen=True)
class Expected:
    """One file and what is right for it.

    name: how it is told and selected. source: the file to copy, None where `target` is a dotted path. target: what is
    given to `muaudit check`. roots, widths, verdicts: any of them is right. refused: keys of REASONS, any of which
    is right, where no verdict is. rules: errors that the report must hold. why: how it was derived.
    """

    name: str
    half: str
    source: Path | None
    target: str
    roots: tuple[str, ...]
    widths: tuple[str, ...]
    verdicts: tuple[str, ...]
    refused: tuple[str, ...]
    rules: tuple[str, ...]
    why: str
    flags: tuple[str, ...] = ()


def table(half: str) -> tuple[list[Expected], list[str]]:
    """The rows of one half, and the names of those whose package is not installed here."""
    rows = yaml.safe_load((FOLDER / f"{half}.yaml").read_text(encoding="utf-8"))
    found, absent = [], []
    for name, row in rows.items():
        expected = _row(half, name, row)
        if expected is None:
            absent.append(name)
        else:
            found.append(expected)
    return found, absent


def _row(half: str, name: str, row: dict[str, Any]) -> Expected | None:
    source: Path | None = None
    target = name
    if half == "written":
        source = FOLDER / "written" / name
        target = source.name
    elif name.endswith(".py"):
        source = _installed(name)
        if source is None:
            return None
        target = source.name
    elif _folder_of(name.partition(".")[0].partition(":")[0]) is None:
        return None
    if row.get("class"):
        target = f"{target}:{row['class']}"
    if unknown := [each for each in _words(row.get("refused")) if each not in REASONS]:
        raise ValueError(f"{name}: refused: {', '.join(unknown)} is none of {', '.join(REASONS)}")
    return Expected(
        name, half, source, target, _words(row.get("root")), _words(row.get("width")), _words(row.get("verdict")),
        _words(row.get("refused")), _words(row.get("rules")), row["why"],
    )  # fmt: skip


def _words(value: str | list[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def _folder_of(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _installed(name: str) -> Path | None:
    """`package/folder/file.py` of an installed package; None where it is not installed.

    Raises FileNotFoundError where the installed version has no such file.
    """
    package, _, rest = name.partition("/")
    folder = _folder_of(package)
    if folder is None:
        return None
    if not (folder / rest).is_file():
        raise FileNotFoundError(f"{name}: the installed {package} has no such file")
    return folder / rest
