"""A user's own profile, in a YAML file.

name: ours                      # default: the file's name
extends: tp5                    # what the file leaves out comes from there
summary: what we found in our own sweeps
source: sweeps of 2026-03
readout_init_bound: -0.5        # largest exponent of a readout's init · multiplier
weight_decay: {hidden: 0, input: 0, output: 0}    # exponents that lr · weight_decay should have
advice: [MUP501, MUP502]        # advice for models in which nothing is wrong
sqrt_attention: advice          # severity of 1/sqrt(d_head) attention where d_head grows (MUP201)
severities: {MUP310: error, MUP503: warning}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from muaudit.errors import UserError
from muaudit.findings.model import SEVERITIES, Severity
from muaudit.parametrizations.profiles import ADVICE, PROFILES, Profile
from muaudit.reading import Malformed, Unreadable, parse_yaml, read_text
from muaudit.rules import RULES
from muaudit.suggest import nearest

SUFFIXES = (".yaml", ".yml")
_KEYS = (
    "name", "extends", "summary", "source", "readout_init_bound", "weight_decay", "advice", "sqrt_attention",
    "severities",
)  # fmt: skip
_ROLES = ("hidden", "input", "output")


def get_profile(name: str) -> Profile:
    """The profile of that name, or the one in that YAML file.

    Raises:
        UserError: no such profile; lists the choices and the nearest name. A file that holds none.
    """
    if name in PROFILES:
        return PROFILES[name]
    if is_profile_file(name):
        return load_profile(Path(name))
    hint = f"{nearest(name, PROFILES, 'profiles')}\nor a file: --profile ours.yaml"
    raise UserError(f"unknown profile {name!r}", hint)


def is_profile_file(text: str) -> bool:
    """Whether a profile is named by a file rather than by its name."""
    return Path(text).suffix.lower() in SUFFIXES


def load_profile(path: Path) -> Profile:
    """The profile in a file.

    Raises:
        UserError: a file that cannot be read, an unknown key, a value of the wrong kind; says what is expected.
    """
    table = _read(path)
    for key in table:
        if key not in _KEYS:
            raise UserError(f"{path}: a profile has no key {key!r}", nearest(str(key), _KEYS, "its keys"))
    base = _base(table.get("extends", "tp5"), path)
    decay = _decay(table.get("weight_decay", {}), path)
    bound = table.get("readout_init_bound", base.readout_init_bound)
    return replace(
        base,
        name=_text(table, "name", path.stem, path),
        summary=_text(table, "summary", f"{base.summary}, changed by {path.name}", path),
        source=_text(table, "source", str(path), path),
        readout_init_bound=_exponent(bound, "readout_init_bound", path),
        weight_decay_target=decay.get("hidden", base.weight_decay_target),
        weight_decay_targets=MappingProxyType({**base.weight_decay_targets, **_without(decay, "hidden")}),
        sqrt_attention=_severity(table.get("sqrt_attention", base.sqrt_attention), "sqrt_attention", path),
        advice=_advice(table.get("advice", sorted(base.advice)), path),
        severities=MappingProxyType({**base.severities, **_severities(table.get("severities", {}), path)}),
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = parse_yaml(read_text(path))
    except Unreadable as error:
        if not error.absent:
            raise
        names = ", ".join(PROFILES)
        raise UserError(f"no profile file {path}", f"give a file that exists, or one of the profiles {names}") from None
    except Malformed as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(found, Mapping):
        kind = "nothing" if found is None else f"a {type(found).__name__}"
        raise UserError(
            f"{path} holds {kind}, expected a profile", f"a mapping with some of the keys {', '.join(_KEYS)}"
        )
    return found


def _base(name: Any, path: Path) -> Profile:
    if isinstance(name, str) and name in PROFILES:
        return PROFILES[name]
    raise UserError(f"{path}: extends {name!r}, which is no profile", nearest(str(name), PROFILES, "profiles"))


def _text(table: Mapping[str, Any], key: str, default: str, path: Path) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{path}: {key} expects a text, found {value!r}")
    return value


def _exponent(value: Any, key: str, path: Path) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or abs(value) > 4:
        raise UserError(f"{path}: {key} expects an exponent of width such as -0.5, found {value!r}")
    return float(value)


def _decay(value: Any, path: Path) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise UserError(f"{path}: weight_decay expects exponents by role, found {value!r}", "weight_decay: {hidden: 0}")
    for role in value:
        if role not in _ROLES:
            raise UserError(f"{path}: weight_decay has no role {role!r}", nearest(str(role), _ROLES, "roles"))
    return {role: _exponent(each, f"weight_decay of {role}", path) for role, each in value.items()}


def _advice(value: Any, path: Path) -> frozenset[str]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UserError(f"{path}: advice expects a list of rules, found {value!r}", f"of {', '.join(ADVICE)}")
    for code in value:
        if code not in ADVICE:
            raise UserError(
                f"{path}: {code!r} cannot be asked for as advice", nearest(str(code), ADVICE, "those that can")
            )
    return frozenset(value)


def _severities(value: Any, path: Path) -> dict[str, Severity]:
    codes = [rule.code for rule in RULES]
    if not isinstance(value, Mapping):
        raise UserError(
            f"{path}: severities expects rules with a severity each, found {value!r}", "severities: {MUP310: error}"
        )
    for code, severity in value.items():
        if code not in codes:
            raise UserError(f"{path}: severities has no rule {code!r}", nearest(str(code), codes, "rules"))
        _severity(severity, code, path)
    return dict(value)


def _severity(value: Any, of: str, path: Path) -> Severity:
    if value not in SEVERITIES:
        raise UserError(f"{path}: {of} has severity {value!r}", f"severities: {', '.join(SEVERITIES)}")
    return value  # type: ignore[no-any-return]


def _without(values: Mapping[str, float], name: str) -> dict[str, float]:
    return {key: value for key, value in values.items() if key != name}
