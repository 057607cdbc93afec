"""What is orthogonalised as one matrix, held against the matrices that the graph uses.

Under a law of spectral norms each matrix that acts as one has to get the norm of one: several that share it (queries,
keys and values, the experts of a stack), or one that is cut into pieces (kernels of a convolution, blocks), do not.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch

from ..findings.discrepancy import Discrepancy
from ..judge.discrepancies import folded
from ..judge.edits import Judged
from ..optimizers.trained import Trained
from ..optimizers.treated import Piece, taken
from ..program.matrices import Matrices, matrices_of
from .analyse import Analysis

_MOST = 64  # pieces that are looked at

Found = tuple[Literal["orthogonalised_as_one", "orthogonalised_cut"], str, tuple[float, ...]]


def orthogonalised(known: Analysis) -> list[Discrepancy]:
    """Hidden weights of which the graph uses other matrices than those that are orthogonalised; factors upside down."""
    found: dict[str, Discrepancy] = {}
    for j in known.scaling.judged:
        how, name, op = known.scaling.trained.get(j.use.tensor), j.use.tensor, j.use.value.op
        if how is None or not how.orthogonal or j.use.role != "hidden" or name in found:
            continue
        told = _told(j, how)
        if told is not None:
            aspect, detail, values = told
            found[name] = Discrepancy(aspect, "hidden", (name,), name, 0.0, 0.0, op.file, op.line, detail=detail,
                                      optimizer=how.family, module=op.module, values=values)  # fmt: skip
    return folded(list(found.values()))


def _told(j: Judged, how: Trained) -> Found | None:
    used = matrices_of(j.use.value)
    by_name = how.measured is None
    if used is None or (by_name and used.matrix.dim() > 2) or (how.pieces is None and not by_name):
        return None
    whole = tuple(tuple(range(size)) for size in used.matrix.shape)
    held = [whole] if how.pieces is None else list(itertools.islice(itertools.product(*how.pieces.dims), _MOST))
    if how.pieces is not None and how.pieces.size != tuple(used.matrix.shape):
        return None
    if any(len(torch.unique(taken(used.matrix, piece))) > 1 for piece in held):
        return "orthogonalised_as_one", "stack" if _stacked(used) else "", tuple(map(float, used.sizes))
    if any(_mixes(used, piece) for piece in held):
        return "orthogonalised_as_one", "stack", tuple(map(float, used.matrix.shape[:1])) * used.matrix.shape[0]
    if any(_cuts(used, piece) for piece in held):
        return "orthogonalised_cut", "", tuple(float(len(indices)) for indices in held[0])
    return None


def _stacked(used: Matrices) -> bool:
    """Whether the matrices stand one behind the other along a dim of their own."""
    others = [dim for dim in range(used.matrix.dim()) if dim not in used.ins | used.outs]
    return any(bool((used.matrix != used.matrix.narrow(dim, 0, 1)).any()) for dim in others)


def _mixes(used: Matrices, piece: Piece) -> bool:
    """Whether a piece of three dims or more is no matrix from inputs to outputs, whichever dims are its rows."""
    dims = [dim for dim, indices in enumerate(piece) if len(indices) > 1]
    sides = ((set(dims[:1]), set(dims[1:])), (set(dims[:-1]), set(dims[-1:])))
    return len(dims) > 2 and all(each & used.ins and each & used.outs for one in sides for each in one if len(each) > 1)


def _cuts(used: Matrices, piece: Piece) -> bool:
    """Whether a piece holds some of a matrix, and not whole heads of it."""
    inside = set(torch.unique(taken(used.matrix, piece)).tolist())
    if _count(used.matrix, inside) == _size(piece):
        return False
    heads = set(torch.unique(taken(used.head, piece)).tolist())
    return _count(used.head, heads) != _size(piece)


def _count(numbers: torch.Tensor, among: set[int]) -> int:
    return int(torch.isin(numbers, torch.tensor(sorted(among))).sum())


def _size(piece: Piece) -> int:
    size = 1
    for indices in piece:
        size *= len(indices)
    return size
