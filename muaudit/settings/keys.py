"""Every key a configuration may have, as data: the loader, the JSON schema and `muaudit config` read this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from muaudit.findings.model import SEVERITIES

Kind = Literal[
    "text", "flag", "size", "whole", "severity", "codes", "severities", "ignores", "widths", "values", "texts",
    "exponents", "targets",
]  # fmt: skip


@dataclass(frozen=True)
class SettingKey:
    """One key: what it holds, and what it is for in one sentence. `default` is what counts without it."""

    name: str
    kind: Kind
    help: str
    default: Any = None


_POLICY = (
    SettingKey("select", "codes", "Rules to report: ALL, code prefixes (MUP2) or names (attention-scale).", ["ALL"]),
    SettingKey("extend-select", "codes", "Rules to report besides the selected ones.", []),
    SettingKey("ignore", "codes", "Rules not to report. The longest prefix decides; ignore wins a tie.", []),
    SettingKey("severities", "severities", "Severity by rule: error, warning or advice.", {}),
    SettingKey("tensor-ignores", "ignores", "Rules not to report for tensors or modules that match a pattern.", {}),
)
TOP = (
    SettingKey(
        "profile",
        "text",
        "School of µP: tp5, tp5-as-written, standard-full-align, lingle, completep, depth-mup, or a YAML file.",
        "tp5",
    ),
    SettingKey("axes", "texts", "What grows in an audit of its own: width, depth.", ["width"]),
    *_POLICY,
    SettingKey("strict", "flag", "Exit 1 when anything could not be analysed.", False),
    SettingKey("fail-on", "severity", "Exit 1 from this severity on.", "error"),
    SettingKey("baseline", "text", "File of known findings that are not reported, relative to this file.", None),
    SettingKey("cache", "flag", "Keep audits, and answer from them while nothing has changed.", True),
    SettingKey("timeout", "size", "Seconds that a target may take, or from one step of training to the next.", 1800),
    SettingKey("targets", "targets", "The models to audit, by name.", {}),
)
TARGET = (
    SettingKey("target", "text", "file.py, file.py:Name, package.module:Name or a Hugging Face config.json.", None),
    SettingKey("width", "widths", "Probe widths by argument name.", {}),
    SettingKey("depth", "widths", "Probe numbers of blocks by argument name.", {}),
    SettingKey("axes", "texts", "What grows in an audit of its own, of this target.", None),
    SettingKey("set", "values", "Other constructor arguments or config fields.", {}),
    SettingKey("input", "texts", "What the forward is called with, such as int64[2,32].", []),
    SettingKey("init", "text", "The method that initializes the model after it is built (default: found out).", None),
    SettingKey("no-init", "flag", "Judge what the constructor leaves; call nothing after it.", False),
    SettingKey("optimizer", "text", "The optimizer where the target has none.", "adamw"),
    SettingKey("lr-group", "exponents", "Exponent of the learning rate in width, by parameter name pattern.", {}),
    SettingKey("plan", "text", "Judge the model as this plan converts it; relative to this file.", None),
    SettingKey("target-width", "size", "The width to train at; Adam's eps is judged there.", None),
    SettingKey("seed", "whole", "Seed of the first initialization.", 0),
    SettingKey("profile", "text", "School of µP for this target.", None),
    *_POLICY,
)


def by_name(keys: tuple[SettingKey, ...]) -> dict[str, SettingKey]:
    """The keys of a table by their names."""
    return {key.name: key for key in keys}


def wrong(kind: Kind, value: Any) -> str | None:
    """What a value of this kind is, in words, where `value` is not one; None where it is."""
    wanted, fits = _KINDS[kind]
    return None if fits(value) else wanted


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _table(value: Any, fits: Any = None) -> bool:
    return isinstance(value, Mapping) and all(isinstance(k, str) and (not fits or fits(v)) for k, v in value.items())


def _widths(value: Any) -> bool:
    return _table(value, lambda sizes: isinstance(sizes, list))  # the sizes themselves have their own message


_KINDS: dict[Kind, tuple[str, Any]] = {
    "text": ("a text", lambda v: isinstance(v, str)),
    "flag": ("true or false", lambda v: isinstance(v, bool)),
    "size": ("a positive whole number", lambda v: _whole(v) and v > 0),
    "whole": ("a whole number", _whole),
    "severity": (f"one of {', '.join(SEVERITIES)}", lambda v: v in SEVERITIES),
    "codes": ("a list of rule codes, prefixes or names", _texts),
    "severities": (f"a table from rule to {', '.join(SEVERITIES)}", lambda v: _table(v, SEVERITIES.__contains__)),
    "ignores": ("a table from name pattern to a list of rules", lambda v: _table(v, _texts)),
    "widths": ("a table from argument name to a list of sizes", _widths),
    "values": ("a table of arguments", _table),
    "texts": ("a list of texts", _texts),
    "exponents": ("a table from name pattern to a number", lambda v: _table(v, _number)),
    "targets": ("a table of named targets", _table),
}
