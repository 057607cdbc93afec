"""What regularizes a model of its own accord, and how much of it is trained at all."""

from __future__ import annotations

from torch import nn


def dropout_of(model: nn.Module) -> float:
    """The largest share that a module drops while training; 0 where none does."""
    shares = [0.0]
    for module in model.modules():
        held = getattr(module, "p", None) if "Dropout" in type(module).__name__ else getattr(module, "dropout", None)
        if isinstance(held, (int, float)) and not isinstance(held, bool) and 0.0 < held < 1.0:
            shares.append(float(held))
    return max(shares)


def label_smoothing_of(model: nn.Module) -> float:
    """That of the model's own losses."""
    held = (getattr(module, "label_smoothing", 0.0) for module in model.modules())
    return max((float(each) for each in held if isinstance(each, (int, float))), default=0.0)


def mostly_frozen(model: nn.Module) -> bool:
    """Whether more than half of all entries of its matrices are not trained."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters() if p.dim() > 1]
    return 2 * sum(size for size, trained in sizes if not trained) > sum(size for size, _ in sizes)
