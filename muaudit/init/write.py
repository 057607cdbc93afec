"""The section as text, and its place: behind what pyproject.toml holds, or in a new muaudit.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from muaudit.errors import UserError
from muaudit.init.trying import Found
from muaudit.reading import parse_toml
from muaudit.settings.configuration_file import TOML_NAME, YAML_NAME, find_source

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEAD = "Written by `muaudit init`. `muaudit check` audits these models, `muaudit config` shows every setting."


def destination(folder: Path, yaml: bool, dry_run: bool = False) -> Path:
    """The file that gets the section, of a dry run the one that has it.

    Raises:
        UserError: there is a section already, or the file cannot be read.
    """
    existing = find_source(folder)
    if existing is not None and existing.file.parent == folder:
        if dry_run:
            return existing.file.with_name(YAML_NAME) if yaml else existing.file
        raise UserError(
            f"{existing.at()} configures muaudit already",
            "muaudit config shows what it says; muaudit init --dry-run shows what would be written now",
        )
    return folder / (YAML_NAME if yaml or not (folder / TOML_NAME).exists() else TOML_NAME)


def section(targets: Mapping[str, Found], file: Path) -> str:
    """The section as the file's format has it."""
    lines = _yaml(targets) if file.suffix == ".yaml" else _toml(targets)
    return "".join(f"{line}\n" for line in lines)


def whole_text(file: Path, added: str) -> str:
    """The file with the section behind what it holds. Raises UserError where that would be no TOML."""
    if not file.exists():
        return added
    with file.open(encoding="utf-8", newline="") as opened:
        before = opened.read()
    end = "\r\n" if "\r\n" in before else "\n"
    gap = "" if not before.strip() else end if before.endswith(("\n", "\r")) else end * 2
    text = before + gap + added.replace("\n", end)
    _check(text, file)
    return text


def _check(text: str, file: Path) -> None:
    try:
        parse_toml(text)
    except ValueError as error:
        raise UserError(
            f"{file.name} cannot take a section [tool.muaudit] at its end: {error}",
            "muaudit init --yaml writes muaudit.yaml",
        ) from None


def _toml(targets: Mapping[str, Found]) -> Iterator[str]:
    yield f"# {_HEAD}"
    for number, (name, found) in enumerate(targets.items()):
        if number:
            yield ""
        yield f"[tool.muaudit.targets.{_key(name)}]"
        yield f"# {_said(found)}"
        yield f"target = {_text(found.text)}"
        if found.widths:
            pairs = ", ".join(f"{_key(axis)} = {list(sizes)}" for axis, sizes in found.widths.items())
            yield f"width = {{ {pairs} }}"
        if found.set:
            yield f"set = {{ {', '.join(f'{_key(name)} = {_text(value)}' for name, value in found.set.items())} }}"
        if found.inputs:
            yield f"input = {_text(list(found.inputs))}"


def _yaml(targets: Mapping[str, Found]) -> Iterator[str]:
    yield f"# {_HEAD}"
    yield "targets:"
    for name, found in targets.items():
        yield f"  {_key(name)}:"
        yield f"    # {_said(found)}"
        yield f"    target: {_text(found.text)}"
        if found.widths:
            pairs = ", ".join(f"{_key(axis)}: {list(sizes)}" for axis, sizes in found.widths.items())
            yield f"    width: {{{pairs}}}"
        if found.set:
            yield f"    set: {{{', '.join(f'{_key(name)}: {_text(value)}' for name, value in found.set.items())}}}"
        if found.inputs:
            yield f"    input: {_text(list(found.inputs))}"


def _said(found: Found) -> str:
    """What was chosen, in one line of a comment."""
    return " ".join(f"{found.describe}; optimizer {found.optimizer}".split())


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
