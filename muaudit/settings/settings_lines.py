"""The effective settings, key by key, and where each came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from muaudit.locations import shown_path
from muaudit.settings.keys import TARGET, TOP
from muaudit.settings.load import Settings

Row = tuple[str, Any, str]
_INHERITED = ("profile", "select", "extend-select", "ignore", "severities", "tensor-ignores")


def rows(settings: Settings) -> Iterator[Row]:
    """(dotted key, value, where it came from): `file:line:column`, `default`, or the key it is taken over from."""
    for key in TOP:
        if key.kind != "targets":
            yield _row(settings, key.name, key.name, key.default)
    for target in settings.targets:
        for key in TARGET:
            dotted = f"targets.{target}.{key.name}"
            if dotted not in settings.values and key.name in _INHERITED:
                value = settings.values.get(key.name, _default(key.name))
                yield dotted, value, f"as {key.name}"
            else:
                yield _row(settings, dotted, key.name, key.default)


def as_text(settings: Settings) -> list[tuple[str, ...]]:
    """Cells for columns, under a header."""
    found: list[tuple[str, ...]] = [("key", "value", "from")]
    found += [(name, _toml(value), where) for name, value, where in rows(settings)]
    return found


def as_json(settings: Settings) -> str:
    """The same as a JSON document."""
    file = shown_path(str(settings.file)) if settings.file else None
    entries = {name: {"value": value, "from": where} for name, value, where in rows(settings)}
    return json.dumps({"file": file, "settings": entries}, indent=2) + "\n"


def _row(settings: Settings, dotted: str, name: str, default: Any) -> Row:
    if dotted in settings.values:
        return dotted, settings.values[dotted], settings.origins[dotted]
    return dotted, default, "default"


def _default(name: str) -> Any:
    return next(key.default for key in TOP if key.name == name)


def _toml(value: Any) -> str:
    """Values much as TOML writes them; what is not set is `-`."""
    if value is None:
        return "-"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
