"""The JSON schema of the configuration, made from the table of keys; `muaudit.schema.json` beside it is what ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from muaudit.findings.model import SEVERITIES
from muaudit.settings.keys import TARGET, TOP, Kind, SettingKey

SHIPPED = Path(__file__).with_name("muaudit.schema.json")


def json_schema() -> dict[str, Any]:
    """The schema of `muaudit.yaml`, and of `[tool.muaudit]` in pyproject.toml."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "muaudit",
        "description": "The configuration of muaudit: muaudit.yaml, or [tool.muaudit] in pyproject.toml.",
        **_table(TOP),
        "definitions": {
            "rules": {"type": "array", "items": {"type": "string", "minLength": 1}},
            "severity": {"enum": list(SEVERITIES)},
            "target": {**_table(TARGET), "required": ["target"]},
        },
    }


def schema_text() -> str:
    """The schema as the shipped file has it."""
    return json.dumps(json_schema(), indent=2) + "\n"


def _table(keys: tuple[SettingKey, ...]) -> dict[str, Any]:
    # A key may be written with `_` for `-` as well, which completion has no need to offer.
    spellings = {key.name.replace("-", "_"): _property(key) for key in keys if "-" in key.name}
    patterns = {f"^{name}$": kind for name, kind in spellings.items()}
    return {
        "type": "object",
        "properties": {key.name: _property(key) for key in keys},
        "patternProperties": patterns,
        "additionalProperties": False,
    }


def _property(key: SettingKey) -> dict[str, Any]:
    default = {} if key.default is None else {"default": key.default}
    return {"description": key.help, **_KINDS[key.kind], **default}


def _values(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": of}


_RULES: dict[str, Any] = {"$ref": "#/definitions/rules"}
_KINDS: dict[Kind, dict[str, Any]] = {
    "text": {"type": "string"},
    "flag": {"type": "boolean"},
    "size": {"type": "integer", "minimum": 1},
    "whole": {"type": "integer"},
    "severity": {"enum": list(SEVERITIES)},
    "codes": {"type": "array", "items": {"type": "string", "minLength": 1}},
    "severities": _values({"$ref": "#/definitions/severity"}),
    "ignores": _values(_RULES),
    "widths": _values(
        {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "uniqueItems": True}
    ),
    "values": {"type": "object"},
    "texts": {"type": "array", "items": {"type": "string"}},
    "exponents": _values({"type": "number"}),
    "targets": _values({"$ref": "#/definitions/target"}),
}


if __name__ == "__main__":
    SHIPPED.write_text(schema_text(), encoding="utf-8")
