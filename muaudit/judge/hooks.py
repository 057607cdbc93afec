"""The µP initialization undone, or applied twice: every matrix shows it, and it is one mistake."""

from __future__ import annotations

from collections.abc import Sequence

from ..findings.discrepancy import Discrepancy
from ..thresholds import TOLERANCE
from .edits import Judged


def hook_in_words(found: list[Discrepancy], judged: Sequence[Judged]) -> list[Discrepancy]:
    """`found`, with one finding about init in place of several where all of them have one cause.

    undone: the init of every hidden weight and every readout is the same at all widths, while their learning rates are
    right: somebody meant µP, and a later initialization overwrote it (or it never ran). twice: the init of every hidden
    weight shrinks like 1/fan_in, the square of what it should, and nothing else is wrong.
    """
    wrong = [d for d in found if d.aspect == "init" and d.role in ("hidden", "output")]
    others = [d for d in found if d not in wrong]
    if not wrong or any(d.aspect in ("lr", "multiplier", "table") for d in others):
        return found
    detail = _undone(judged) or _twice(judged)
    if not detail:
        return found
    names = tuple(dict.fromkeys(name for d in wrong for name in d.tensors))
    first = wrong[0]
    hook = Discrepancy("init_hook", None, names, "", first.found, first.expected, first.file, first.line, detail=detail)
    return [*others, hook]


def _undone(judged: Sequence[Judged]) -> str:
    """Flat everywhere, and hidden weights and readouts are both wrong for it."""
    matrices = [j for j in judged if j.use.role in ("hidden", "output") and j.use.kind == "tensor"]
    roles = {j.use.role for j in matrices if j.init_off > TOLERANCE}
    flat = all(j.init_found is not None and abs(j.init_found) < TOLERANCE for j in matrices)
    return "undone" if flat and roles == {"hidden", "output"} else ""


def _twice(judged: Sequence[Judged]) -> str:
    hidden = [j for j in judged if j.use.role == "hidden" and j.use.kind == "tensor"]
    squared = all(
        j.init_found is not None and j.init_required < 0 and abs(j.init_found - 2 * j.init_required) < TOLERANCE
        for j in hidden
    )
    return "twice" if hidden and squared else ""
