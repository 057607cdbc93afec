"""plan.yaml, read and written: complete or not there at all."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError
from ..reading import Malformed, parse_yaml, read_text
from ..writing import write_file
from .made_for import MadeFor
from .plan import Plan
from .plan_data import DEEPER, SCHEMA, plan_data
from .scales import SETTINGS, WHOLE, Constants, Entry, Hook, OverDepth, Part, Start

_ELSEWHERE = "--out names another folder"

_HEADER = """\
# How to turn {target} into µP at width {width}, with hyperparameters tuned at width {base}.
# Scales are (width / base_width) ** exponent. Written by muaudit; read by muaudit.load_plan().
"""
_DEEPER_HEADER = """\
# How to turn {target} into µP, {sizes}: hyperparameters tuned at the first, used at the second.
# Scales are (width / base_width) ** exponent * (depth / base_depth) ** depth_exponent. Written by muaudit; read by
# muaudit.load_plan().
"""


def plan_text(plan: Plan, applied: Mapping[str, Any] | None = None) -> str:
    """The plan as YAML. applied: what it was applied to, and the files that were written beside it."""
    data = _flowing(plan_data(plan))
    if applied is not None:
        data["applied"] = {key: _Flow(value) if isinstance(value, list) else value for key, value in applied.items()}
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=200)
    header = _DEEPER_HEADER if plan.depth_name else _HEADER
    return header.format(target=plan.target, width=plan.width, base=plan.base_width, sizes=plan.sizes) + text


class _Dumper(yaml.SafeDumper):
    """Block style, with short mappings of numbers and lists on one line."""


def _represent(dumper: yaml.SafeDumper, data: _Flow) -> yaml.Node:
    if isinstance(data.value, dict):
        return dumper.represent_mapping("tag:yaml.org,2002:map", data.value, flow_style=True)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data.value, flow_style=True)


class _Flow:
    """A list or mapping written on one line."""

    def __init__(self, value: Any) -> None:
        self.value = value


_Dumper.add_representer(_Flow, _represent)


def _flowing(data: dict[str, Any]) -> dict[str, Any]:
    """The same, with what is short on one line."""
    tensors = {
        name: {key: _Flow(value) if isinstance(value, (list, dict)) else value for key, value in entry.items()}
        for name, entry in data["tensors"].items()
    }
    hooks = [
        {key: _Flow(value) if isinstance(value, dict) else value for key, value in hook.items()}
        for hook in data["hooks"]
    ]
    made_for = {name: _Flow(value) for name, value in data.get("made_for", {}).items()}
    return {**data, **({"made_for": made_for} if "made_for" in data else {}), "tensors": tensors, "hooks": hooks}


# -- reading -----------------------------------------------------------------------------------------------------------
def load_plan(path: str | Path) -> Plan:
    """Read and check a plan.yaml.

    Raises:
        UserError: the file cannot be read, is no plan, or has another version.
    """
    path = Path(path)
    text = read_text(path, "muaudit convert writes a plan")
    try:
        data = parse_yaml(text)
    except Malformed as error:
        raise UserError(f"{path} is no plan: it is not YAML", str(error)) from error
    if not isinstance(data, dict) or "schema" not in data:
        raise UserError(f"{path} is no plan: expected a mapping with a schema, {SCHEMA}")
    if data["schema"] not in (SCHEMA, DEEPER):
        raise UserError(
            f"{path} has the version {data['schema']!r}, expected {SCHEMA!r} or {DEEPER!r}",
            "make it anew with muaudit convert",
        )
    try:
        plan = _plan(data)
        _check_scales(plan, data)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        detail = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path} is no complete plan: {detail}", "make it anew with muaudit convert") from error
    return plan


def _plan(data: Mapping[str, Any]) -> Plan:
    base, width = data["base_width"], data["width"]
    if not all(isinstance(n, int) and n > 0 for n in (base, width)):
        raise ValueError(f"base_width {base!r} and width {width!r} must be positive whole numbers")
    deeper = _depth(data)
    tensors = data["tensors"]
    whole = isinstance(tensors, dict) and all(isinstance(t, dict) and "exponents" in t for t in tensors.values())
    if not whole or not all(isinstance(given["exponents"], dict) for given in tensors.values()):
        raise ValueError("its tensors are cut short")
    entries = [
        Entry(
            pattern=str(name),
            roles=tuple(given["roles"]),
            shape=tuple(str(dim) for dim in given["shape"]),
            gauge=_number(given["exponents"].get("gauge", 0.0), name),
            note=str(given.get("note", "")),
            optimizer=str(given.get("optimizer", "")),
            decays=given.get("decays", True) is not False,
            zero=given.get("starts_at_zero") is True,
            start=_start(given.get("start"), name),
            depth=_over_depth(given, name) if deeper else OverDepth(),
            constants=_constants(given.get("constants") or {}, name),
            **{setting: _number(given["exponents"][setting], name) for setting in SETTINGS},
        )
        for name, given in tensors.items()
    ]
    hooks = [_hook(given, bool(deeper)) for given in data["hooks"] or ()]
    return Plan(
        target=str(data["target"]), width_name=str(data["width_name"]), base_width=base, width=width,
        optimizer=str(data["optimizer"]), formulation=str(data["formulation"]),
        profile=str(data.get("profile", "tp5")), entries=tuple(entries), hooks=tuple(hooks),
        notes=tuple(str(note) for note in data["notes"] or ()),  # the last entry: a file without it was cut short
        made_for=_made_for(data["made_for"]) if data.get("made_for") is not None else None,
        tuned=_tuned(data.get("tuned") or {}),
        caveats=tuple((str(name), str(text)) for name, text in (data.get("caveats") or {}).items()),
        **deeper,
    )  # fmt: skip


def _depth(data: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes over depth; empty for a plan over width alone."""
    if data["schema"] != DEEPER:
        return {}
    base, depth = data["base_depth"], data["depth"]
    if not all(isinstance(n, int) and n > 0 for n in (base, depth)):
        raise ValueError(f"base_depth {base!r} and depth {depth!r} must be positive whole numbers")
    return {"depth_name": str(data["depth_name"]), "base_depth": base, "depth": depth}


def _over_depth(given: Mapping[str, Any], where: Any) -> OverDepth:
    exponents = given["depth_exponents"]
    settings = {setting: _number(exponents[setting], where) for setting in SETTINGS}
    return OverDepth(**settings, gauge=_number(exponents.get("gauge", 0.0), where))


def _constants(given: Mapping[str, Any], where: Any) -> Constants:
    strange = given.keys() - set(SETTINGS)
    if strange:
        raise ValueError(f"{where} has the constants {sorted(strange)}, expected some of {', '.join(SETTINGS)}")
    return Constants(**{name: _factor(value, where) for name, value in given.items()})


def _factor(value: Any, where: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not 0 < number < float("inf"):
        raise ValueError(f"{where} has the constant {value!r}, expected a positive number")
    return number


def _tuned(given: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    return tuple((str(name), float(value)) for name, value in given.items())


def _made_for(given: Mapping[str, Any]) -> MadeFor:
    settings = {
        str(name): tuple(value) if isinstance(value, list) else value
        for name, value in (given.get("settings") or {}).items()
    }
    heads = {str(name): str(value) for name, value in (given.get("heads") or {}).items()}
    return MadeFor(heads, {str(name): _count(n) for name, n in (given.get("blocks") or {}).items()}, settings)


def _count(given: Any) -> int | str:
    """A number of blocks: `12`, or `L`, `L/4`, `2L` of a depth L."""
    return given if isinstance(given, str) else int(given)


def _start(given: Any, where: Any) -> Start | None:
    if given is None:
        return None
    if "constant" in given:
        return Start(float(given["constant"]), 0.0, True)
    return Start(
        float(given["rms"]), _number(given["exponent"], where), depth=_number(given.get("depth_exponent", 0.0), where)
    )


def _number(value: Any, where: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not abs(number) <= 16:
        raise ValueError(f"{where} has the exponent {value!r}, expected a small number")
    return number


def _hook(given: Mapping[str, Any], deeper: bool) -> Hook:
    exponent = _number(given["exponent"], given["module"])
    return Hook(
        str(given["module"]), _side(given["on"]), exponent, str(given.get("note", "")), _part(given),
        depth=_number(given["depth_exponent"], given["module"]) if deeper else 0.0,
        constant=_factor(given.get("constant", 1.0), given["module"]),
    )  # fmt: skip


def _part(given: Mapping[str, Any]) -> Part:
    if "columns" not in given:
        return WHOLE
    columns = given["columns"]
    part = Part(int(columns["groups"]), Fraction(str(columns["from"])), Fraction(str(columns["to"])))
    if part.groups < 1 or not 0 <= part.start < part.stop <= 1:
        raise ValueError(f"{given['module']} has a multiplier on the columns {dict(columns)!r}")
    return part


def _side(value: Any) -> str:
    if value not in ("input", "output", "attention"):
        raise ValueError(f"a hook is on {value!r}, expected input, output or attention")
    return str(value)


def _check_scales(plan: Plan, data: Mapping[str, Any]) -> None:
    """Scales and exponents say the same; one that was edited alone would be silently ignored."""
    for hook, given in zip(plan.hooks, data["hooks"] or (), strict=True):
        if abs(float(given["scale"]) - plan.multiplier(hook)) > 1e-6 * plan.multiplier(hook):
            raise ValueError(f"the hook on {hook.module} has scale {given['scale']}, but what it is made of gives "
                             f"{plan.multiplier(hook):.6g}")  # fmt: skip
    for entry in plan.entries:
        given = data["tensors"][entry.pattern]
        for name, exponent, scale in zip(SETTINGS, _powers(entry), plan.scales_of(entry), strict=True):
            if abs(float(given[f"{name}_scale"]) - scale) > 1e-6 * scale:
                found = f"{entry.pattern} has {name}_scale {given[f'{name}_scale']}"
                raise ValueError(f"{found}, but its exponent {exponent} gives {scale:.6g}")


def _powers(entry: Entry) -> list[str]:
    """The exponents of a tensor's scales as they are told; over depth, where one is there, behind it."""
    pairs = zip(entry.exponents, entry.depth.exponents, strict=True)
    return [f"{e:g} over width and {d:g} over depth" if d else f"{e:g}" for e, d in pairs]


# -- writing -----------------------------------------------------------------------------------------------------------
def write_plan(plan: Plan, path: Path, applied: Mapping[str, Any] | None = None) -> None:
    """Write plan.yaml in one step, with what it was applied to. Raises UserError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}", _ELSEWHERE) from error
    write_file(path, plan_text(plan, applied).encode(), _ELSEWHERE)
