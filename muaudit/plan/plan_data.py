"""A plan as plain data, for its file and for Python; and as rows and words, for people."""

from __future__ import annotations

from typing import Any

from ..findings.power import number, power
from ..tabular import text_table
from .made_for import MadeFor
from .scales import SETTINGS, WHOLE, Entry, Hook, Scales, Start

SCHEMA = "muaudit.plan/1"


def plan_data(plan: Scales) -> dict[str, Any]:
    """What plan.yaml holds."""
    return {
        "schema": SCHEMA,
        "target": plan.target,
        "width_name": plan.width_name,
        "base_width": plan.base_width,
        "width": plan.width,
        "optimizer": plan.optimizer,
        "formulation": plan.formulation,
        "profile": plan.profile,
        **({"made_for": _made_for_data(plan.made_for)} if plan.made_for is not None else {}),
        "tensors": {entry.pattern: _entry_data(plan, entry) for entry in plan.entries},
        "hooks": [_hook_data(plan, hook) for hook in plan.hooks],
        "notes": list(plan.notes),
    }


def _made_for_data(known: MadeFor) -> dict[str, Any]:
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in known.settings.items()}
    found = {"heads": dict(known.heads), "blocks": dict(known.blocks), "settings": settings}
    return {name: value for name, value in found.items() if value}


def _entry_data(plan: Scales, entry: Entry) -> dict[str, Any]:
    data: dict[str, Any] = {"roles": list(entry.roles), "shape": list(entry.shape)}
    data |= {"optimizer": entry.optimizer} if entry.optimizer else {}
    data |= {} if entry.decays else {"decays": False}
    data |= {"start": _start_data(entry.start)} if entry.start is not None else {}
    for name, exponent in zip(SETTINGS, entry.exponents, strict=True):
        data[f"{name}_scale"] = _short(plan.scale(exponent))
    exponents = dict(zip(SETTINGS, entry.exponents, strict=True))
    data["exponents"] = exponents | ({"gauge": entry.gauge} if entry.gauge else {})
    return data | ({"note": entry.note} if entry.note else {})


def _start_data(start: Start) -> dict[str, Any]:
    if start.constant:
        return {"constant": _short(start.rms)}
    return {"rms": float(f"{start.rms:.3g}"), "exponent": round(start.exponent, 3) + 0.0}


def _hook_data(plan: Scales, hook: Hook) -> dict[str, Any]:
    part = hook.part
    columns = {"from": str(part.start), "to": str(part.stop), "groups": part.groups}
    return {
        "module": hook.module,
        "on": hook.on,
        **({} if part == WHOLE else {"columns": columns}),
        "scale": _short(plan.scale(hook.exponent)),
        "exponent": hook.exponent,
        "note": hook.note,
    }


def _short(scale: float) -> float:
    return float(f"{scale:.12g}")


# -- for people --------------------------------------------------------------------------------------------------------
def headline(plan: Scales) -> str:
    """`GPT(GPTConfig), n_embd 128 → 256: m = 2, adamw`."""
    return f"{plan.target}, {plan.width_name} {plan.base_width} → {plan.width}: m = {number(plan.m)}, {plan.optimizer}"


def rows(plan: Scales) -> list[dict[str, Any]]:
    """A row for every pattern of names: roles, factors and exponents."""
    return [
        {"tensor": entry.pattern, "roles": list(entry.roles), "shape": list(entry.shape),
         **{f"{name} ×": plan.scale(value) for name, value in zip(SETTINGS, entry.exponents, strict=True)},
         **{f"{name} exponent": value for name, value in zip(SETTINGS, entry.exponents, strict=True)},
         "decays": entry.decays, "note": entry.note}
        for entry in plan.entries
    ]  # fmt: skip


def described(plan: Scales) -> str:
    """The plan in words, as `muaudit convert` begins."""
    lines = [headline(plan)]
    if plan.made_for is not None and (known := plan.made_for.in_words()):
        lines.append(f"  made for {known}")
    table = text_table([scales_in_words(plan, entry) for entry in plan.entries])
    lines += ["", *(f"  {row}" for row in table.splitlines())]
    for hook in plan.hooks:
        lines.append(f"  {hook.module}: {part_in_words(hook)}its {hook.on} × {power(hook.exponent, 'm')}")
    return "\n".join([*lines, *(f"  not covered: {note}" for note in plan.notes)])


def scales_in_words(plan: Scales, entry: Entry) -> dict[str, str]:
    """A row of the table that people read."""
    names = ("init ×", "lr ×", "weight decay ×", "eps ×")
    shown = [_scale(plan, exponent) for exponent in entry.exponents]
    shown[2] = shown[2] if entry.decays else "none"
    return {"tensor": entry.pattern, "role": "+".join(entry.roles) or "-", **dict(zip(names, shown, strict=True))}


def _scale(plan: Scales, exponent: float) -> str:
    return f"{number(plan.scale(exponent))} ({power(exponent, 'm')})" if exponent else "1"


def part_in_words(hook: Hook) -> str:
    """`columns 0 to 1/3 of `, where it is not all of them."""
    part = hook.part
    if part == WHOLE:
        return ""
    each = f" of each of {part.groups} groups" if part.groups > 1 else ""
    return f"columns {part.start} to {part.stop}{each} of "
