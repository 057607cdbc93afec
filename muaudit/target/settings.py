"""Configured targets: `[tool.muaudit]` in pyproject.toml, or `muaudit.yaml`, in the nearest folder that has one.

    [tool.muaudit]
    profile = "tp5"

    [tool.muaudit.targets.gpt]
    target = "model.py:GPT"          # relative to the file
    width = { n_embd = [64, 128] }
    set = { n_layer = 2 }
    input = ["int64[2,32]"]
    optimizer = "adamw"

Free of torch.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from muaudit.errors import UserError
from muaudit.suggest import nearest
from muaudit.target.options import TargetOptions, check_widths, parse_inputs

_TOP = ("profile", "targets")
_KEYS = ("target", "width", "set", "input", "optimizer", "lr_group", "profile")


@dataclass(frozen=True)
class Configured:
    """One named target: the TARGET text, how it is probed, and its profile (None: the command's)."""

    name: str
    target: str
    options: TargetOptions
    profile: str | None


def configured(start: Path) -> dict[str, Configured]:
    """The targets of the nearest configuration at or above `start`, by name; empty without one.

    Raises:
        UserError: a file that cannot be read, an unknown key, a value of the wrong kind.
    """
    for folder in (start, *start.parents):
        for file, table in ((folder / "muaudit.yaml", None), (folder / "pyproject.toml", "tool")):
            if not file.is_file():
                continue
            section = _load(file)
            if table:
                section = section.get("tool", {}).get("muaudit")
                if section is None:
                    continue
            return _targets(section, file)
    return {}


def merged(configuration: TargetOptions, flags: TargetOptions) -> TargetOptions:
    """Flags beat the file, key by key."""
    return replace(
        flags,
        widths={**configuration.widths, **flags.widths},
        set={**configuration.set, **flags.set},
        inputs=flags.inputs or configuration.inputs,
        optimizer=flags.optimizer or configuration.optimizer,
        lr_groups=flags.lr_groups or configuration.lr_groups,
    )


def _load(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".yaml":
            import yaml

            return yaml.safe_load(text) or {}
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        return tomllib.loads(text)
    except (OSError, ValueError) as error:  # tomllib's and unicode errors are ValueErrors
        raise UserError(
            f"{file} cannot be read: {error}", "mend the file, or name a target on the command line"
        ) from None
    except Exception as error:  # yaml's own
        raise UserError(f"{file} is not valid YAML: {error}", "mend the file, or name a target") from None


def _targets(section: Any, file: Path) -> dict[str, Configured]:
    _check_keys(section, _TOP, file, "[tool.muaudit]")
    targets = section.get("targets", {})
    if not isinstance(targets, Mapping):
        raise UserError(f"{file}: targets expects a table of named targets, found {targets!r}")
    return {str(name): _target(str(name), entry, section.get("profile"), file) for name, entry in targets.items()}


def _target(name: str, entry: Any, profile: Any, file: Path) -> Configured:
    where = f"target {name!r}"
    _check_keys(entry, _KEYS, file, where)
    text = entry.get("target")
    if not isinstance(text, str):
        raise UserError(f'{file}: {where} expects target = "file.py:Name", found {text!r}')
    widths, inputs, groups = entry.get("width", {}), entry.get("input", []), entry.get("lr_group", {})
    for key, value, kind in (("width", widths, Mapping), ("set", entry.get("set", {}), Mapping),
                             ("input", inputs, list), ("lr_group", groups, Mapping)):  # fmt: skip
        if not isinstance(value, kind):
            wanted = "a list" if kind is list else "a table"
            raise UserError(f"{file}: {where}: {key} expects {wanted}, found {value!r}")
    options = TargetOptions(
        widths={str(axis): check_widths(sizes, f"{file}: {where}: width {axis}") for axis, sizes in widths.items()},
        set=dict(entry.get("set", {})),
        inputs=parse_inputs(map(str, inputs)),
        optimizer=entry.get("optimizer"),
        lr_groups=tuple((str(pattern), float(exponent)) for pattern, exponent in groups.items()),
    )
    local = file.parent / text.rpartition(":")[0] if ":" in text else file.parent / text
    anchored = str(file.parent / text) if local.exists() else text
    return Configured(name, anchored, options, entry.get("profile", profile))


def _check_keys(section: Any, known: tuple[str, ...], file: Path, where: str) -> None:
    if not isinstance(section, Mapping):
        raise UserError(f"{file}: {where} expects a table, found {section!r}", f"keys: {', '.join(known)}")
    for key in section:
        if key not in known:
            raise UserError(f"{file}: {where} has no key {key!r}", nearest(str(key), list(known), "keys"))
