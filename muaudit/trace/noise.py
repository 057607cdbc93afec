"""Constant tensors that are noise: entries of both signs."""

from __future__ import annotations

import math

import torch

from ..entries import entries, pieces
from ..thresholds import MEAN_ERRORS


def balanced(tensor: torch.Tensor) -> bool:
    """Whether a constant tensor has entries of both signs that cancel, as noise does, within chance."""
    if tensor.numel() < 2 or tensor.is_meta or not tensor.is_floating_point():
        return False
    total = squares = 0.0
    for piece in pieces(entries(tensor)):
        total += float(piece.sum())
        squares += float(torch.dot(piece, piece))
    return squares > 0 and math.isfinite(squares) and abs(total) < MEAN_ERRORS * math.sqrt(squares)
