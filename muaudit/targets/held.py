"""What stays as it is while the width grows: sizes, counts and lists among the arguments, told in one note."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from muaudit.targets import argnames
from muaudit.targets.arguments import MISSING, Leaf
from muaudit.targets.widths import WidthPlan

_EXPERTS = (
    "num_experts", "n_experts", "n_expert", "num_local_experts", "n_routed_experts", "top_k", "num_experts_per_tok",
    "n_activated_experts", "experts_per_token", "n_shared_experts",
)  # fmt: skip
_PATCHES = ("patch_size", "patch", "patch_len", "frame_patch_size", "tubelet_size", "frames", "num_frames", "context")
_TABLES = (
    *argnames.HEADS, *argnames.KV_HEADS, *argnames.HEAD_DIM, *argnames.DEPTH, *_EXPERTS, *argnames.VOCAB,
    *argnames.LENGTH, *argnames.IMAGE, *_PATCHES, *argnames.CLASSES, *argnames.OUTPUTS, *argnames.IN_CHANNELS,
    *argnames.INPUTS, *argnames.WIDTH, *argnames.FEEDFORWARD, *argnames.ATTENTION_WIDTH,
)  # fmt: skip
_MOST = 12


def held_fixed(knobs: Mapping[str, Leaf], plan: WidthPlan, cut: Mapping[str, Any]) -> str:
    """`held fixed: n_layer = 2 (of 12), n_head = 4`; empty where nothing with a size stays.

    cut: arguments that were made smaller, with the model's own values: these stand first.
    """
    growing = {*(axis.name for axis in plan.axes), *plan.derived}
    values = {name: leaf.value for name, leaf in knobs.items()} | plan.values({})
    told = {name: values[name] for name in cut if name not in growing}
    known = {*plan.assumed, *plan.tried, *(name for name, leaf in knobs.items() if leaf.example is not None)}
    told |= {name: value for name, value in values.items()
             if name not in growing and _is_size(value) and (_is_named(name) or name in known)}  # fmt: skip
    if not told:
        return ""
    shown = [f"{name} = {value!r}" + (f" (of {cut[name]!r})" if name in cut else "") for name, value in told.items()]
    more = f" and {len(shown) - _MOST} more" if len(shown) > _MOST else ""
    return f"held fixed: {', '.join(shown[:_MOST])}{more}; --set NAME=VALUE holds another value"


def _is_named(name: str) -> bool:
    return argnames.named(name.rpartition(".")[2], _TABLES)


def _is_size(value: Any) -> bool:
    """Whether a value is a number of things, or a list of such."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(_is_size(each) for each in value)
    return type(value) is int and value > 0 and value is not MISSING
