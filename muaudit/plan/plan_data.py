"""A plan as plain data, for its file and for Python; and as rows and words, for people."""

from __future__ import annotations

from typing import Any

from ..findings.power import number, power
from ..tabular import text_table
from .made_for import MadeFor
from .scales import SETTINGS, WHOLE, Entry, Hook, Scales, Start

SCHEMA = "muaudit.plan/1"
DEEPER = "muaudit.plan/2"
"""The same with exponents over depth beside those over width; written where a plan has some."""


def plan_data(plan: Scales) -> dict[str, Any]:
    """What plan.yaml holds."""
    return {
        "schema": DEEPER if plan.depth_name else SCHEMA,
        "target": plan.target,
        "width_name": plan.width_name,
        "base_width": plan.base_width,
        "width": plan.width,
        **_depth_data(plan),
        "optimizer": plan.optimizer,
        **({"tuned": dict(plan.tuned)} if plan.tuned else {}),
        "formulation": plan.formulation,
        "profile": plan.profile,
        **({"made_for": _made_for_data(plan.made_for)} if plan.made_for is not None else {}),
        "tensors": {entry.pattern: _entry_data(plan, entry) for entry in plan.entries},
        "hooks": [_hook_data(plan, hook) for hook in plan.hooks],
        **({"caveats": dict(plan.caveats)} if plan.caveats else {}),
        "notes": list(plan.notes),
    }


def _depth_data(plan: Scales) -> dict[str, Any]:
    if not plan.depth_name:
        return {}
    return {"depth_name": plan.depth_name, "base_depth": plan.base_depth, "depth": plan.depth}


def _made_for_data(known: MadeFor) -> dict[str, Any]:
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in known.settings.items()}
    found = {"heads": dict(known.heads), "blocks": dict(known.blocks), "settings": settings}
    return {name: value for name, value in found.items() if value}


def _entry_data(plan: Scales, entry: Entry) -> dict[str, Any]:
    data: dict[str, Any] = {"roles": list(entry.roles), "shape": list(entry.shape)}
    data |= {"optimizer": entry.optimizer} if entry.optimizer else {}
    data |= {} if entry.decays else {"decays": False}
    data |= {"starts_at_zero": True} if entry.zero else {}
    data |= {"start": _start_data(entry.start)} if entry.start is not None else {}
    for name, scale in zip(SETTINGS, plan.scales_of(entry), strict=True):
        data[f"{name}_scale"] = _short(scale)
    exponents = dict(zip(SETTINGS, entry.exponents, strict=True))
    data["exponents"] = exponents | ({"gauge": entry.gauge} if entry.gauge else {})
    if plan.depth_name:
        deeper = dict(zip(SETTINGS, entry.depth.exponents, strict=True))
        data["depth_exponents"] = deeper | ({"gauge": entry.depth.gauge} if entry.depth.gauge else {})
    constants = dict(zip(SETTINGS, entry.constants.factors, strict=True))
    own = {name: value for name, value in constants.items() if value != 1.0}
    return data | ({"constants": own} if own else {}) | ({"note": entry.note} if entry.note else {})


def _start_data(start: Start) -> dict[str, Any]:
    if start.constant:
        return {"constant": _short(start.rms)}
    deeper = {"depth_exponent": round(start.depth, 3)} if start.depth else {}
    return {"rms": float(f"{start.rms:.3g}"), "exponent": round(start.exponent, 3) + 0.0, **deeper}


def _hook_data(plan: Scales, hook: Hook) -> dict[str, Any]:
    part = hook.part
    columns = {"from": str(part.start), "to": str(part.stop), "groups": part.groups}
    return {
        "module": hook.module,
        "on": hook.on,
        **({} if part == WHOLE else {"columns": columns}),
        "scale": _short(plan.multiplier(hook)),
        "exponent": hook.exponent,
        **({"depth_exponent": hook.depth} if plan.depth_name else {}),
        **({"constant": hook.constant} if hook.constant != 1.0 else {}),
        "note": hook.note,
    }


def _short(scale: float) -> float:
    return float(f"{scale:.12g}")


# -- for people --------------------------------------------------------------------------------------------------------
def headline(plan: Scales) -> str:
    """`GPT(GPTConfig), n_embd 128 → 256: m = 2, adamw`."""
    return f"{plan.target}, {ratios_in_words(plan)}, {plan.optimizer}"


def ratios_in_words(plan: Scales) -> str:
    """`n_embd 128 → 256, n_layer 4 → 32: m = 2, m_L = 8`."""
    ratios = [] if plan.depth_name and plan.m == 1.0 else [f"m = {number(plan.m)}"]
    ratios += [f"m_L = {number(plan.m_depth)}"] if plan.depth_name else []
    return f"{plan.sizes}: {', '.join(ratios)}"


def made_for_in_words(plan: Scales) -> str:
    """`n_head 4 fixed, 12 × transformer.h, layers of n and 4n`: the model of a plan; nothing where none is known."""
    if plan.made_for is None:
        return ""
    sizes = sorted({size for entry in plan.entries for size in entry.shape} - {"fixed", "n"}, key=_times)
    told = [plan.made_for.in_words(), f"layers of {', '.join(['n', *sizes[:-1]])} and {sizes[-1]}" if sizes else ""]
    return ", ".join(filter(None, told))


def _times(size: str) -> tuple[float, str]:
    """For the order of `~0.5n`, `3n`, `12n`."""
    times = size.removeprefix("~").removesuffix("n")
    return (float(times) if times.replace(".", "", 1).isdecimal() else 0.0), size


def rows(plan: Scales) -> list[dict[str, Any]]:
    """A row for every pattern of names: roles, factors and exponents."""
    return [
        {"tensor": entry.pattern, "roles": list(entry.roles), "shape": list(entry.shape),
         **{f"{name} ×": scale for name, scale in zip(SETTINGS, plan.scales_of(entry), strict=True)},
         **{f"{name} exponent": value for name, value in zip(SETTINGS, entry.exponents, strict=True)},
         **_over_depth(plan, entry),
         "decays": entry.decays, "note": entry.note}
        for entry in plan.entries
    ]  # fmt: skip


def _over_depth(plan: Scales, entry: Entry) -> dict[str, float]:
    if not plan.depth_name:
        return {}
    return {f"{name} exponent over depth": e for name, e in zip(SETTINGS, entry.depth.exponents, strict=True)}


def described(plan: Scales) -> str:
    """The plan in words, as `muaudit convert` begins."""
    lines = [headline(plan)]
    if known := made_for_in_words(plan):
        lines.append(f"  made for {known}")
    table = text_table([scales_in_words(plan, entry) for entry in plan.entries])
    lines += ["", *(f"  {row}" for row in table.splitlines())]
    for hook in plan.hooks:
        lines.append(
            f"  {hook.module}: {part_in_words(hook)}its {hook.on} × "
            f"{factor_in_words(hook.exponent, hook.depth, hook.constant)}"
        )
    lines += [f"  {tuned_in_words(plan)}"] if plan.tuned else []
    lines += [f"  note: {text}" for _, text in plan.caveats]
    return "\n".join([*lines, *(f"  not covered: {note}" for note in plan.notes)])


def scales_in_words(plan: Scales, entry: Entry) -> dict[str, str]:
    """A row of the table that people read."""
    names = ("init ×", "lr ×", "weight decay ×", "eps ×")
    pairs = zip(plan.scales_of(entry), entry.exponents, entry.depth.exponents, entry.constants.factors, strict=True)
    shown = [_scale(*pair) for pair in pairs]
    shown[0] = "0" if entry.zero else shown[0]
    shown[2] = shown[2] if entry.decays else "none"
    return {"tensor": entry.pattern, "role": "+".join(entry.roles) or "-", **dict(zip(names, shown, strict=True))}


def _scale(scale: float, exponent: float, over_depth: float, constant: float) -> str:
    if exponent or over_depth:
        return f"{number(scale)} ({factor_in_words(exponent, over_depth, constant)})"
    return number(scale)


def factor_in_words(exponent: float, over_depth: float, constant: float = 1.0) -> str:
    """`m^-1/2`, `0.5 · m^-1/2`, `0.5`: what something is multiplied by."""
    powers = power_in_words(exponent, over_depth)
    if constant == 1.0:
        return powers
    return f"{number(constant)} · {powers}" if exponent or over_depth else number(constant)


def tuned_in_words(plan: Scales) -> str:
    """`tuned: lr 0.00391, weight_decay 0.1`."""
    return "tuned: " + ", ".join(f"{name} {number(value)}" for name, value in plan.tuned)


def power_in_words(exponent: float, over_depth: float) -> str:
    """`m^-1/2 m_L^-1`: powers of the ratios of width and of depth."""
    shown = [power(exponent, "m")] if exponent or not over_depth else []
    return " ".join([*shown, *([power(over_depth, "m_L")] if over_depth else [])])


def part_in_words(hook: Hook) -> str:
    """`columns 0 to 1/3 of `, where it is not all of them."""
    part = hook.part
    if part == WHOLE:
        return ""
    each = f" of each of {part.groups} groups" if part.groups > 1 else ""
    return f"columns {part.start} to {part.stop}{each} of "
