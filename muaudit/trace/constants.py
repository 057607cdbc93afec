"""Products with a matrix that is neither trained nor an input: by how much it can enlarge what it multiplies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

_PRODUCTS = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}  # position of the first factor


def gain_of_constant(func: Any, args: Sequence[Any], constant: Sequence[bool]) -> float | None:
    """Root mean square out over in, at most, of a product (.., m, k) × (.., k, p) with one constant factor.

    That is its largest singular value times sqrt(k/p), or sqrt(k/m): 2 at most for a random square matrix of variance
    1/k, 1 for one that averages, permutes or turns. constant: for every tensor among `args`, whether it is one. None
    for other operations, for a constant that is no matrix, and where both factors are constants or neither is.
    """
    first = _PRODUCTS.get(func._schema.name.removeprefix("aten::"))
    if first is None or constant[first] == constant[first + 1]:
        return None
    matrix = args[first if constant[first] else first + 1].detach()
    if min(matrix.shape[-2:]) < 2 or not matrix.is_floating_point():
        return None
    summed, kept = (matrix.shape[-1], matrix.shape[-2]) if constant[first] else matrix.shape[-2:]
    largest = float(torch.linalg.matrix_norm(matrix.double(), 2).max())
    return largest * math.sqrt(summed / kept)
