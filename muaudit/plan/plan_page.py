"""A plan as a part of an HTML page: what every tensor is scaled by, at any width and for any learning rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..page.html_document import Section, Style, section, whole_page
from .plan_data import factor_in_words, headline, made_for_in_words, part_in_words, power_in_words, ratios_in_words
from .scales import SETTINGS, Entry, Scales

_DOUBLINGS = 12


@dataclass(frozen=True)
class Beside:
    """What stands beside a plan: the verdict on the model as converted, and texts to show as they are."""

    verdict: str = ""
    style: Style = "plain"
    lines: tuple[str, ...] = ()


def plan_page(plan: Scales) -> str:
    """A whole document."""
    return whole_page(headline(plan), [plan_section(plan)])


def plan_section(plan: Scales, name: str = "plan", beside: Beside | None = None) -> Section:
    """The plan with sliders over the sizes that it goes over."""
    told = beside or Beside()
    wider, deeper = plan.m != 1.0 or not plan.depth_name, bool(plan.depth_name)
    sliders = [_slider("width", plan.width_name, plan.base_width, plan.width)] if wider else []
    sliders += [_slider("depth", plan.depth_name, plan.base_depth, plan.depth)] if deeper else []
    return section(
        "plan.html", name, f"Plan for {plan.target}", told.style, plan=plan, ratios=ratios_in_words(plan), told=told,
        known=made_for_in_words(plan), sliders=sliders,
        rows=[_row(plan, entry) for entry in plan.entries], notes=list(_notes(plan.entries)), hooks=list(_hooks(plan)),
    )  # fmt: skip


def _slider(of: str, name: str, base: int, now: int) -> dict[str, Any]:
    """Doublings of the base size, and the plan's own size among them."""
    sizes = sorted({base * 2**power for power in range(_DOUBLINGS + 1)} | {now})
    return {"of": of, "name": name, "base": base, "sizes": sizes, "now": sizes.index(now), "size": now}


def _row(plan: Scales, entry: Entry) -> dict[str, Any]:
    cells = [
        {"scale": scale, "width": over, "depth": deep,
         "power": power_in_words(over, deep) if scale and (over or deep) else "",
         "none": name == "weight_decay" and not entry.decays}
        for name, scale, over, deep in zip(
            SETTINGS, plan.scales_of(entry), entry.exponents, entry.depth.exponents, strict=True
        )
    ]  # fmt: skip
    return {"name": entry.pattern, "roles": "+".join(entry.roles) or "-", "shape": entry.shape, "cells": cells,
            "optimizer": entry.optimizer}  # fmt: skip


def _notes(entries: Iterable[Entry]) -> Iterator[tuple[str, Sequence[str]]]:
    """Every note once, with the names that it is about."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        if entry.note:
            found.setdefault(entry.note, []).append(entry.pattern)
    yield from found.items()


def _hooks(plan: Scales) -> Iterator[str]:
    for hook in plan.hooks:
        factor = factor_in_words(hook.exponent, hook.depth, hook.constant)
        yield f"{hook.module}: {part_in_words(hook)}its {hook.on} × {factor} in a forward hook; {hook.note}"
