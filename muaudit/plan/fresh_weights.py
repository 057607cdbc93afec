"""Whether a model still is as it was initialized: scaling weights that were trained, or loaded, spoils them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..findings.names import listed_names
from ..findings.power import number
from ..thresholds import AS_INITIALIZED, INIT_ERRORS
from .scales import Entry, Scales, Start


def refuse_trained(plan: Scales, matched: Iterable[tuple[str, nn.Parameter, Entry]]) -> None:
    """Raise UserError where parameters hold gradients, or are not as large as the plan has measured them.

    matched: names, parameters and their entries.
    """
    listed = list(matched)
    trained = [name for name, parameter, _ in listed if parameter.grad is not None]
    if trained:
        raise _refusal("parameters hold gradients", listed_names(trained))
    found: dict[str, list[str]] = {}
    for name, parameter, entry in listed:
        for words in _differs(plan, parameter, entry.start):
            found.setdefault(words, []).append(name)
    rows = [f"{name}: {words}" for words, names in found.items() for name in listed_names(names)]
    if rows:
        raise _refusal("they are not as the plan has measured them", rows)


def _refusal(why: str, rows: list[str]) -> UserError:
    shown = "\n".join(f"  {row}" for row in rows[:8]) + (f"\n  and {len(rows) - 8} more" if len(rows) > 8 else "")
    return UserError(
        f"these weights are not freshly initialized: {why}\n{shown}",
        "apply_ is for a fresh initialization; install_hooks(model) is for weights that were scaled before, and "
        "apply_(model, force=True) scales whatever is there",
    )


def _differs(plan: Scales, parameter: nn.Parameter, start: Start | None) -> Iterator[str]:
    """In words, where a parameter cannot be what an initialization drew."""
    values = _local(parameter)
    if start is None or values is None:
        return
    rms = float(values.square().mean().sqrt())
    if start.constant:
        spread = float(values.max() - values.min())
        if spread > 0.0 or not math.isclose(rms, start.rms, rel_tol=1e-3):
            yield f"all entries were {number(start.rms)}, they are not now"
        return
    expected = plan.rms_before(start)
    chance = 1 + INIT_ERRORS / math.sqrt(values.numel())  # of a tensor with few entries
    allowed = AS_INITIALIZED * chance
    if not expected / allowed <= rms <= expected * allowed:
        yield f"rms {number(rms)}, expected {number(expected)}"


def _local(parameter: nn.Parameter) -> torch.Tensor | None:
    """The values that are in this process: all of them, or a shard; None where there are none."""
    shard: Any = getattr(parameter, "to_local", None)
    values: torch.Tensor = parameter.detach() if shard is None else shard().detach()
    if values.is_meta or not values.numel() or values.is_complex():
        return None
    return values.double() if values.numel() < 1_000_000 else values.float()
