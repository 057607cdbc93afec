"""Models without values: of the shapes and classes that the model has, and nothing is drawn for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from muaudit.targets.bare import without_values

RANDOM = ("normal", "uniform", "rand", "bernoulli", "exponential")


class Seen(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


class Drawn(nn.Module):
    """Every usual way of drawing, and two that need values."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tokens, self.mid = nn.Embedding(7, width), nn.Linear(width, 2 * width)
        nn.init.trunc_normal_(self.mid.weight, std=0.02)
        nn.init.xavier_uniform_(self.mid.weight)
        nn.init.orthogonal_(tensor=torch.empty(width, width))
        self.mid.weight.data.normal_(0, 0.1).mul_(2)
        self.free = nn.Parameter(0.1 * torch.randn(3, width, generator=torch.Generator(), dtype=torch.float64))
        self.like = nn.Parameter(torch.randn_like(self.mid.weight) + torch.rand((width,)))
        nn.init.zeros_(self.mid.bias)
        self.register_buffer("kept", torch.rand(4, device="cpu") * torch.ones(4, device="cpu").uniform_(1, 2))


def test_shapes_and_types_are_those_of_the_model_and_nothing_is_drawn() -> None:
    real = Drawn(6)
    with Seen() as seen, without_values():
        bare = Drawn(6)
    for (name, one), (other, two) in zip(real.named_parameters(), bare.named_parameters(), strict=True):
        assert (name, one.shape, one.dtype) == (other, two.shape, two.dtype)
        assert two.is_meta
    drawn = [name for name in seen.names if name.startswith(RANDOM)]
    assert drawn == ["rand", "uniform_"]  # of the buffer on a device of its own


def test_what_has_values_keeps_them() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4) * torch.ones(4).uniform_(1, 2)
    torch.manual_seed(3)
    with without_values():
        kept = torch.rand(4, device="cpu") * torch.ones(4, device="cpu").uniform_(1, 2)
        filled = nn.init.normal_(torch.ones(1000, device="cpu"), std=2.0)
    assert torch.equal(kept, expected)
    assert 1.5 < float(filled.std()) < 2.5
