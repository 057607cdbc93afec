"""How alike the vectors are that a product sums over: what an update from some examples does to the others.

An update made of M examples meets one of its inputs with alignment 1/sqrt(M) where these are independent, and in full
where they are all the same, as tokens are after attention has averaged over them.
"""

from __future__ import annotations

from typing import Any

import torch

_FEW = 256  # vectors that are compared


def overlaps(func: Any, args: Any) -> tuple[float, float] | None:
    """Mean square cosine between the vectors of each factor of a matrix product or convolution; None for others.

    1 where all are alike, 1/M for M independent ones; what independent vectors of few entries share by chance is left
    out.
    """
    name = str(getattr(func, "overloadpacket", func)).removeprefix("aten.")
    if name in ("mm", "bmm"):
        first, second = args[0], args[1].transpose(-2, -1)
    elif name in ("addmm", "baddbmm"):
        first, second = args[1], args[2].transpose(-2, -1)
    elif name == "convolution":
        first, second = args[0].movedim(1, -1), args[1].flatten(1)
    else:
        return None
    return overlap(first), overlap(second)


def overlap(vectors: torch.Tensor) -> float:
    """Of vectors (..., entries): the mean over all pairs, each with itself too, of the square of their cosine."""
    with torch.no_grad():
        rows = vectors.detach().reshape(-1, vectors.shape[-1])
        rows = rows[:: -(-len(rows) // _FEW)].double()
        count, entries = rows.shape
        norms = rows.norm(dim=1)
        rows = rows[norms > 0] / norms[norms > 0, None]
        if len(rows) < 2:
            return 1.0 / max(1, count)
        squares = float((rows @ rows.T).square().mean())
        chance = (1 - 1 / len(rows)) / entries
        return max(1 / len(rows), (squares - chance) / (1 - chance))
