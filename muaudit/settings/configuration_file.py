"""The configuration file: which one counts, what it holds, and where in it a key stands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muaudit.errors import UserError
from muaudit.locations import shown_path
from muaudit.reading import Malformed, Unreadable, parse_toml, parse_yaml, read_text

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_HEADER = re.compile(rf"\s*\[\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")
_MEND = "mend the file, or leave it out with --isolated"
YAML_NAME, TOML_NAME = "muaudit.yaml", "pyproject.toml"


@dataclass(frozen=True)
class SettingsFile:
    """A configuration file and its section as plain data."""

    file: Path
    text: str
    section: Mapping[str, Any]

    def at(self, path: Sequence[str] = ()) -> str:
        """`pyproject.toml:12:1`, the position of a key; of the nearest one above it where it cannot be found."""
        for length in range(len(path), -1, -1):
            found = self._locate(tuple(path[:length]))
            if found:
                return f"{_shown(self.file)}:{found[0]}:{found[1]}"
        return _shown(self.file)

    def _locate(self, path: tuple[str, ...]) -> tuple[int, int] | None:
        if self.file.suffix == ".toml":
            return _locate_toml(self.text, ("tool", "muaudit", *path))
        return _locate_yaml(self.text, path)


def find_source(start: Path, config: Path | None = None) -> SettingsFile | None:
    """The file named by `--config`, else the nearest at or above `start`; no other is read.

    Raises:
        UserError: it cannot be read, or one folder holds two.
    """
    if config is not None:
        source = _read(config) if config.is_file() else None
        if source is None:
            problem = "has no [tool.muaudit]" if config.is_file() else "is no file"
            raise UserError(
                f"--config: {config} {problem}", f"expected a {TOML_NAME} with that section, or a YAML file"
            )
        return source
    for folder in (start, *start.parents):
        found = [_read(folder / name) for name in (YAML_NAME, TOML_NAME) if (folder / name).is_file()]
        sources = [source for source in found if source is not None]
        if len(sources) == 2:
            raise UserError(
                f"two configurations in {folder}: {YAML_NAME} and [tool.muaudit] in {TOML_NAME}",
                "keep one of them, or name it with --config",
            )
        if sources:
            return sources[0]
    return None


def _read(file: Path) -> SettingsFile | None:
    """The section of a file; None for a TOML file without one."""
    try:
        text = read_text(file)
    except Unreadable as error:
        raise UserError(f"{_shown(file)} cannot be read: {error.why}", _MEND) from None
    if file.suffix == ".toml":
        tool = _toml(file, text).get("tool", {})
        section = tool.get("muaudit") if isinstance(tool, dict) else None
        return None if section is None else SettingsFile(file, text, _mapping(section, file))
    return SettingsFile(file, text, _mapping(_yaml(file, text) or {}, file))


def _toml(file: Path, text: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except Malformed as error:
        raise UserError(f"{_shown(file)}{_place(error)}: not valid TOML: {error.problem}", _MEND) from None


def _yaml(file: Path, text: str) -> Any:
    try:
        return parse_yaml(text)
    except Malformed as error:
        raise UserError(f"{_shown(file)}{_place(error)}: not valid YAML: {error.problem}", _MEND) from None


def _place(error: Malformed) -> str:
    return f":{error.line}:{error.column}" if error.line else ""


def _mapping(section: Any, file: Path) -> Mapping[str, Any]:
    if not isinstance(section, Mapping):
        raise UserError(f"{_shown(file)}: the muaudit section expects a table, found {section!r}")
    return section


def _locate_toml(text: str, path: tuple[str, ...]) -> tuple[int, int] | None:
    """Line and column of a key: of its header, its assignment, or its place in an inline table."""
    table: tuple[str, ...] = ()
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        header, assigned = _HEADER.match(line), _ASSIGNMENT.match(line)
        if header:
            table = _parts(header[1])
            if table == path:
                return number, header.start(1) + 1
        elif assigned:
            key = table + _parts(assigned[1])
            if key == path:
                return number, assigned.start(1) + 1
            if path[: len(key)] == key:
                return _in_value(lines, number, assigned.end(), path[-1])
    return None


def _in_value(lines: list[str], number: int, column: int, name: str) -> tuple[int, int] | None:
    pattern = re.compile(rf"""(?<![\w-])["']?{re.escape(name)}["']?\s*=""")
    for offset, line in enumerate(lines[number - 1 :]):
        match = pattern.search(line, column if offset == 0 else 0)
        if match:
            return number + offset, match.start() + 1
    return None


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, dotted))


def _locate_yaml(text: str, path: tuple[str, ...]) -> tuple[int, int] | None:
    import yaml

    node = yaml.compose(text, Loader=yaml.SafeLoader)
    mark = node.start_mark if node is not None else None
    for name in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        for key, value in pairs:
            if key.value == name:
                mark, node = key.start_mark, value
                break
        else:
            return None
    return (mark.line + 1, mark.column + 1) if mark is not None else None


def _shown(file: Path) -> str:
    return shown_path(str(file))
