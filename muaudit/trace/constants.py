"""Products with a matrix that is neither trained nor an input: by how much it can enlarge what it multiplies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from .. import ops
from ..ops.products import Contracts

_LARGEST = 1 << 22  # entries that a sparse matrix may have to be written out


def gain_of_constant(func: Any, args: Sequence[Any], constant: Sequence[bool]) -> float | None:
    """Root mean square out over in, at most, of a product (.., m, k) × (.., k, p) with one constant factor.

    That is its largest singular value times sqrt(k/p), or sqrt(k/m): 2 at most for a random square matrix of variance
    1/k, 1 for one that averages, permutes or turns. constant: for every tensor among `args`, whether it is one. None
    for other operations, for a constant that is no matrix, and where both factors are constants or neither is.
    """
    declared = ops.of(ops.name_of(func))
    if not isinstance(declared, Contracts) or constant[declared.first] == constant[declared.second]:
        return None
    left = constant[declared.first]
    matrix = args[declared.first if left else declared.second].detach()
    if min(matrix.shape[-2:]) < 2 or not matrix.is_floating_point():
        return None
    summed, kept = (matrix.shape[-1], matrix.shape[-2]) if left else matrix.shape[-2:]
    if matrix.layout is not torch.strided:
        if matrix.numel() > _LARGEST:
            return None
        matrix = matrix.to_dense()
    largest = float(torch.linalg.matrix_norm(matrix.double(), 2).max())
    return largest * math.sqrt(summed / kept)
