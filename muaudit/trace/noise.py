"""Constant tensors that are noise: entries of both signs."""

from __future__ import annotations

import math

import torch

from ..entries import entries
from ..thresholds import MEAN_ERRORS


def balanced(tensor: torch.Tensor) -> bool:
    """Whether a constant tensor has entries of both signs that cancel, as noise does, within chance."""
    if tensor.numel() < 2 or tensor.is_meta or not tensor.is_floating_point():
        return False
    x = entries(tensor).double()
    rms = float(x.square().mean().sqrt())
    return rms > 0 and math.isfinite(rms) and abs(float(x.mean())) < MEAN_ERRORS * rms / math.sqrt(x.numel())
