"""Optimizers that are made of others: in a list, or held by a wrapper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def parts(optimizer: Any) -> list[torch.optim.Optimizer]:
    """The optimizers behind one: itself, those that a list or a wrapper holds, or none."""
    if optimizer is None:
        return []
    held = optimizer if isinstance(optimizer, (list, tuple)) else getattr(optimizer, "optimizers", None)
    return list(held) if isinstance(held, (list, tuple)) else [optimizer]


def name_of(optimizer: Any) -> str:
    """`adamw`; `muon+adamw` for several."""
    return "+".join(dict.fromkeys(type(part).__name__.lower() for part in parts(optimizer)))
