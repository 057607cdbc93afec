"""A model whose outputs learn and whose features do not is called what it is."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

import muaudit

X = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))


class Tangent(nn.Module):
    """Entries of size 1 and multipliers 1/sqrt(fan_in): Jacot et al. 2018, arXiv 1806.07572."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.a, self.b = nn.Parameter(torch.randn(width, 32)), nn.Parameter(torch.randn(width, width))
        self.c = nn.Parameter(torch.randn(10, width))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ self.a.T / 32**0.5).relu() @ self.b.T / self.width**0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x).relu() @ self.c.T / self.width**0.5


class Standard(nn.Module):
    """PyTorch's init, without biases: with a learning rate of 1/n it is in the kernel regime (arXiv 2011.14522)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(32, width, bias=False), nn.Linear(width, width, bias=False)
        self.c = nn.Linear(width, 10, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(self.b(self.a(x).relu()).relu())


def said(build: type[nn.Module], optimizer: Callable[[nn.Module], torch.optim.Optimizer]) -> str:
    return muaudit.check(build, batch=lambda width: X, optimizer=optimizer, widths=(64, 128)).caution


def test_the_neural_tangent_parametrization_is_named_and_its_features_stay() -> None:
    assert "neural tangent parametrization" in said(Tangent, lambda m: torch.optim.SGD(m.parameters(), lr=0.1))
    moves = []
    for width in (64, 1024):
        total = 0.0
        for seed in range(4):
            torch.manual_seed(seed)
            model = Tangent(width)
            before = model.features(X).detach()
            nn.functional.cross_entropy(model(X), torch.arange(16) % 10).backward()
            torch.optim.SGD(model.parameters(), lr=1e-3).step()
            total += float((model.features(X) - before).square().mean())
        moves.append(math.sqrt(total))
    assert math.log(moves[1] / moves[0]) / math.log(16) == pytest.approx(-0.5, abs=0.1)


def test_the_standard_parametrization_with_a_falling_rate_is_in_the_kernel_regime() -> None:
    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        assert isinstance(model, Standard)
        return torch.optim.SGD(model.parameters(), lr=0.1 * 64 / model.b.in_features)

    assert "kernel regime" in said(Standard, optimizer)


def test_a_model_whose_features_move_is_not_said_to_be_there() -> None:
    assert said(Standard, lambda m: torch.optim.Adam(m.parameters(), lr=1e-3)) == ""
