"""Tables of every key that a configuration may have, from the JSON schema that ships."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from muaudit.settings.schema import json_schema


def _top() -> str:
    return "\n".join(_rows(json_schema(), skip=("targets",)))


def _target() -> str:
    return "\n".join(_rows(json_schema()["definitions"]["target"]))


# By the name in a page's `<!-- table: NAME -->`.
TABLES: dict[str, Callable[[], str]] = {"settings": _top, "target-settings": _target}


def _rows(schema: dict[str, Any], skip: tuple[str, ...] = ()) -> Iterator[str]:
    yield "| key | holds | default | |"
    yield "|---|---|---|---|"
    required = schema.get("required", [])
    for name, entry in schema["properties"].items():
        if name not in skip:
            default = "required" if name in required else _value(entry.get("default"))
            yield f"| `{name}` | {_holds(entry)} | {default} | {entry['description']} |"


def _value(value: Any) -> str:
    return "–" if value is None else f"`{json.dumps(value)}`"


def _holds(entry: dict[str, Any]) -> str:
    """The type in words."""
    if "$ref" in entry:
        return {"rules": "rules", "severity": "severity"}[entry["$ref"].rsplit("/", 1)[1]]
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if entry["type"] == "array":
        return f"list of {_plural(entry['items'])}"
    if entry["type"] == "object":
        of = entry.get("additionalProperties")
        return f"table of {_plural(of)}" if of else "table"
    words = {"string": "text", "boolean": "true or false", "integer": "whole number", "number": "number"}
    return words[entry["type"]]


def _plural(entry: dict[str, Any]) -> str:
    holds = _holds(entry)
    plurals = {"text": "texts", "whole number": "whole numbers", "number": "numbers", "severity": "severities"}
    return plurals.get(holds, holds.replace("list of", "lists of"))
