"""How alike the vectors are that a product sums over: what an update from some examples does to the others.

An update made of M examples meets one of its inputs with alignment 1/sqrt(M) where these are independent, and in full
where they are all the same, as tokens are after attention has averaged over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

_FEW = 256  # vectors that are compared


@dataclass(frozen=True)
class Overlap:
    """Mean square cosine between the vectors of one factor; centred: between what they are more than their mean.

    1 where all are alike, 1/M for M independent ones. What vectors of few entries share by chance is left out.
    """

    whole: float
    centred: float


def overlaps(func: Any, args: Any) -> tuple[Overlap, Overlap] | None:
    """Of both factors of a matrix product or convolution; None for other operations."""
    factors = factors_of(func, args)
    if factors is None:
        return None
    first, second = factors
    if name_of(func) == "convolution":
        return overlap(first.movedim(1, -1)), overlap(second.flatten(1))
    return overlap(first), overlap(second.transpose(-2, -1))


def factors_of(func: Any, args: Any) -> tuple[Any, Any] | None:
    """What a matrix product or convolution multiplies, of its arguments; None for other operations."""
    match name_of(func):
        case "mm" | "bmm" | "convolution":
            return args[0], args[1]
        case "addmm" | "baddbmm":
            return args[1], args[2]
    return None


def name_of(func: Any) -> str:
    """Of an ATen operation, without its overload."""
    return str(getattr(func, "overloadpacket", func)).removeprefix("aten.")


def overlap(vectors: torch.Tensor) -> Overlap:
    """Of vectors (..., entries), or of evenly spaced ones where there are many."""
    with torch.no_grad():
        rows = vectors.detach().reshape(-1, vectors.shape[-1])
        rows = rows[:: -(-len(rows) // _FEW)].double()
        return Overlap(_alike(rows), _alike(rows - rows.mean(0)))


def _alike(rows: torch.Tensor) -> float:
    """The mean over all pairs of rows, each with itself too, of the square of their cosine."""
    norms = rows.norm(dim=1)
    rows = rows[norms > 1e-9 * norms.max()]
    if len(rows) < 2:
        return 1.0
    rows = rows / rows.norm(dim=1, keepdim=True)
    chance = (1 - 1 / len(rows)) / rows.shape[1]
    return max(1 / len(rows), (float((rows @ rows.T).square().mean()) - chance) / (1 - chance))
