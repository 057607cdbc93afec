"""What a finding says will happen is what training then does to this model."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import muaudit

X = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))
Y = torch.arange(16) % 10


class Perceptron(nn.Module):
    """Right but for the init of its readout, which stays n^-1/2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(32, width), nn.Linear(width, width), nn.Linear(width, 10, bias=False)
        nn.init.zeros_(self.b.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(self.b(self.a(x).relu()).relu())


def optimizer(model: Perceptron, lr: float = 1e-3) -> torch.optim.Optimizer:
    falling = {"params": [model.b.weight, model.c.weight], "lr": lr * 64 / model.b.in_features}
    return torch.optim.Adam([falling, {"params": [*model.a.parameters(), model.b.bias]}], lr=lr)


def measured(width: int) -> tuple[float, float]:
    """The size of the outputs at initialization, and of their change in one step with a small learning rate."""
    sizes = []
    for seed in range(6):
        torch.manual_seed(seed)
        model = Perceptron(width)
        steps, before = optimizer(model, 1e-5), model(X)
        nn.functional.cross_entropy(before, Y).backward()
        steps.step()
        sizes.append((before.square().mean(), (model(X) - before).square().mean()))
    start, change = (sum(float(pair[i].detach()) for pair in sizes) for i in (0, 1))
    return math.sqrt(start), math.sqrt(change)


def test_what_an_init_does_is_what_training_shows() -> None:
    report = muaudit.check(Perceptron, batch=lambda width: X, optimizer=optimizer, widths=(64, 128))
    (found,) = [v for v in report.violations if v.rule == "MUP103"]
    (start, change), (start_wide, change_wide) = measured(128), measured(2048)
    assert math.log(start_wide / start) / math.log(16) == pytest.approx(0, abs=0.1)  # so it does not grow at first
    assert math.log(change_wide / change) / math.log(16) == pytest.approx(0.5, abs=0.1)
    assert found.consequence.startswith("the change of outputs per step grows like n^1/2: a learning rate")


def test_a_value_that_is_smaller_by_a_later_constant_is_not_said_to_grow() -> None:
    class Smaller(Perceptron):  # what a and b make is n^-1/2 of its usual size, and c makes up for it
        def __init__(self, width: int) -> None:
            super().__init__(width)
            self.m = width / 64
            with torch.no_grad():
                self.a.weight *= self.m**-0.5
                self.a.bias.zero_()
                self.c.weight.zero_()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.c(self.b(self.a(x).relu()).relu() * self.m**0.5)

    def rates(model: Smaller) -> torch.optim.Optimizer:
        m = model.m
        return torch.optim.Adam(
            [
                {"params": model.a.parameters(), "lr": 1e-3 * m**-0.5},
                {"params": [model.b.weight], "lr": 1e-3},  # too large by n
                {"params": [model.b.bias], "lr": 1e-3 * m**-0.5},
                {"params": [model.c.weight], "lr": 1e-3 / m},
            ],
            eps=1e-15,
        )

    report = muaudit.check(Smaller, batch=lambda width: X, optimizer=rates, widths=(64, 128))
    (found,) = [v for v in report.violations if v.severity == "error"]
    assert found.tensors == ("b.weight",)
    assert "grows like n^1/2" in found.consequence  # n more than the n^-1/2 that it should be
