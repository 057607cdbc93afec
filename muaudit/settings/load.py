"""From the configuration file to settings, every key checked, every value with the place it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from muaudit.answers.policy import Policy
from muaudit.errors import UserError
from muaudit.findings.model import Severity
from muaudit.parametrizations.profile_file import is_profile_file
from muaudit.settings.configuration_file import SettingsFile, find_source
from muaudit.settings.keys import TARGET, TOP, SettingKey, by_name, wrong
from muaudit.suggest import close
from muaudit.targets.options import TargetOptions, check_widths, parse_inputs


@dataclass(frozen=True)
class Configured:
    """One named target: the TARGET text, how it is probed, and what is reported of it."""

    name: str
    target: str
    options: TargetOptions = field(default_factory=TargetOptions)
    profile: str | None = None
    plan: Path | None = None
    target_width: int | None = None
    seed: int = 0
    policy: Policy = field(default_factory=Policy)
    axes: tuple[str, ...] = ("width",)


@dataclass(frozen=True)
class Settings:
    """What a configuration says; the defaults where there is none.

    values, origins: what stands in the file by dotted key, and `file:line:column` of each.
    """

    file: Path | None = None
    profile: str = "tp5"
    axes: tuple[str, ...] = ("width",)
    policy: Policy = field(default_factory=Policy)
    strict: bool = False
    fail_on: Severity = "error"
    baseline: Path | None = None
    cache: bool = True
    timeout: int = 1800
    targets: Mapping[str, Configured] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)


def load_settings(start: Path, config: Path | None = None, isolated: bool = False) -> Settings:
    """The settings of the nearest configuration at or above `start`, of `config`, or, isolated, of none.

    Raises:
        UserError: a file that cannot be read, an unknown key, a value of the wrong kind, an unknown rule.
    """
    if isolated and config is not None:
        raise UserError("--isolated reads no configuration and --config names one", "leave one of them out")
    source = None if isolated else find_source(start, config)
    if source is None:
        return Settings()
    reader = _Reader(source)
    top = reader.table(source.section, TOP, ())
    policy = reader.policy(top, (), Policy())
    targets = {str(name): reader.target(str(name), entry, top, policy) for name, entry in top["targets"].items()}
    baseline = top["baseline"]
    return Settings(
        file=source.file,
        profile=_profile(top["profile"], source.file.parent),
        axes=tuple(top["axes"]),
        policy=policy,
        strict=top["strict"],
        fail_on=top["fail-on"],
        baseline=source.file.parent / baseline if baseline else None,
        cache=top["cache"],
        timeout=top["timeout"],
        targets=targets,
        values=reader.values,
        origins=reader.origins,
    )


class _Reader:
    """Reads the tables of one file and notes where every value stands."""

    def __init__(self, source: SettingsFile) -> None:
        self.source = source
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}

    def table(self, given: Any, keys: tuple[SettingKey, ...], path: tuple[str, ...]) -> dict[str, Any]:
        """The values of a table with the defaults filled in. `_` and `-` in a key are the same."""
        known = by_name(keys)
        if not isinstance(given, Mapping):
            raise self.error(path, f"expects a table, found {given!r}", f"keys: {', '.join(known)}")
        found = {name: key.default for name, key in known.items()}
        for raw, value in given.items():
            name = str(raw).replace("_", "-")
            if name not in known:
                raise self.unknown(str(raw), known, path)
            wanted = wrong(known[name].kind, value)
            if wanted:
                raise self.error((*path, str(raw)), f"{raw} expects {wanted}, found {value!r}")
            found[name] = value
            if known[name].kind != "targets":
                self.values[".".join((*path, name))] = value
                self.origins[".".join((*path, name))] = self.source.at((*path, str(raw)))
        return found

    def target(self, name: str, entry: Any, top: Mapping[str, Any], policy: Policy) -> Configured:
        path = ("targets", name)
        given = self.table(entry, TARGET, path)
        text, folder = given["target"], self.source.file.parent
        if text is None:
            raise self.error(path, f'target {name!r} expects target = "file.py:Name", found none')
        widths = {
            str(axis): check_widths(sizes, f"{self.source.at((*path, 'width'))}: width {axis}")
            for axis, sizes in given["width"].items()
        }
        depths = {
            str(axis): check_widths(sizes, f"{self.source.at((*path, 'depth'))}: depth {axis}", "2,4")
            for axis, sizes in given["depth"].items()
        }
        options = TargetOptions(
            depths=depths,
            widths=widths,
            set=dict(given["set"]),
            inputs=parse_inputs(given["input"]),
            optimizer=given["optimizer"] if "optimizer" in entry else None,
            init=given["init"],
            no_init=given["no-init"],
            lr_groups=tuple((pattern, float(exponent)) for pattern, exponent in given["lr-group"].items()),
        )
        return Configured(
            name=name,
            target=_anchored(text, folder),
            options=options,
            profile=_profile(given["profile"] or top["profile"], folder),
            plan=folder / given["plan"] if given["plan"] else None,
            target_width=given["target-width"],
            seed=given["seed"],
            policy=self.policy(given, path, policy, selected="select" in entry),
            axes=tuple(given["axes"] if given["axes"] is not None else top["axes"]),
        )

    def policy(self, given: Mapping[str, Any], path: tuple[str, ...], outer: Policy, selected: bool = True) -> Policy:
        """The outer policy, narrowed by a table's own keys. Raises UserError for an unknown rule."""
        for key in ("select", "extend-select", "ignore", "severities", "tensor-ignores"):
            try:
                Policy.of({key: given[key]})
            except UserError as error:
                raise self.error((*path, key), f"{key}: {error.message}", error.hint) from None
        return outer.with_(Policy.of(given), selected)

    def unknown(self, key: str, known: Mapping[str, SettingKey], path: tuple[str, ...]) -> UserError:
        whole = "[tool.muaudit]" if self.source.file.suffix == ".toml" else "the configuration"
        where = f"target {path[1]!r}" if path else whole
        near = close(key.replace("_", "-"), known, 1)
        hint = f"did you mean {near[0]}?\n" if near else ""
        return self.error((*path, key), f"{where} has no key {key!r}", f"{hint}keys: {', '.join(known)}")

    def error(self, path: tuple[str, ...], message: str, hint: str = "") -> UserError:
        return UserError(f"{self.source.at(path)}: {message}", hint)


def _profile(text: str, folder: Path) -> str:
    """A profile's name as it is; its file by its full path, from the folder of the configuration."""
    return str(folder / text) if is_profile_file(text) else text


def _anchored(text: str, folder: Path) -> str:
    """A TARGET that is a file beside the configuration, by its full path; a dotted name as it is."""
    local = folder / (text.rpartition(":")[0] if ":" in text else text)
    return str(folder / text) if local.exists() else text


def merged(configuration: TargetOptions, flags: TargetOptions) -> TargetOptions:
    """Flags beat the file, key by key."""
    return replace(
        flags,
        widths={**configuration.widths, **flags.widths},
        depths={**configuration.depths, **flags.depths},
        set={**configuration.set, **flags.set},
        inputs=flags.inputs or configuration.inputs,
        optimizer=flags.optimizer or configuration.optimizer,
        lr_groups=flags.lr_groups or configuration.lr_groups,
        optimizer_kinds=flags.optimizer_kinds or configuration.optimizer_kinds,
        init=flags.init or (None if flags.no_init else configuration.init),
        no_init=flags.no_init or (configuration.no_init and flags.init is None),
    )
