"""Weights that noise gives signs: `mu + sigma * epsilon` of layers that explore."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.driving import write

from muaudit.audit import audit
from muaudit.targets import resolve

NOISY = """import torch
import torch.nn.functional as F
from torch import nn


class NoisyLinear(nn.Module):
    def __init__(self, n, m):
        super().__init__()
        self.mu = nn.Parameter(torch.randn(m, n) / n**0.5)
        self.sigma = nn.Parameter(torch.full((m, n), 0.5 / n**0.5))
        self.register_buffer("epsilon", NOISE)

    def forward(self, x):
        return F.linear(x, self.mu + self.sigma * self.epsilon)


class Net(nn.Module):
    def __init__(self, hidden_dim=64):
        super().__init__()
        self.first, self.mix = nn.Linear(16, hidden_dim), NoisyLinear(hidden_dim, hidden_dim)
        self.last = nn.Linear(hidden_dim, 4)

    def forward(self, x):
        return self.last(self.mix(self.first(x).relu()).relu())
"""


@pytest.mark.parametrize(("noise", "adds_up"), [("torch.randn(m, n)", False), ("torch.rand(m, n)", True)])
def test_what_noise_gives_signs_has_no_mean_that_adds_up(noise: str, adds_up: bool, tmp_path: Path) -> None:
    report = audit(resolve(write(tmp_path, NOISY.replace("NOISE", noise))))
    accused = {name for each in report.violations if each.rule == "MUP106" for name in each.tensors}
    assert accused == ({"mix.sigma"} if adds_up else set())


@pytest.mark.parametrize("weight", [
    "self.mu + self.sigma * torch.randn_like(self.sigma)",
    "torch.addcmul(self.mu, self.sigma, torch.randn(self.mu.shape))",
    "torch.distributions.Normal(self.mu, self.sigma).rsample()",
    "self.mu + (self.sigma.t() * torch.empty_like(self.sigma).normal_().t()).t()",
])  # fmt: skip
def test_noise_is_drawn_in_the_forward(weight: str, tmp_path: Path) -> None:
    text = NOISY.replace("NOISE", "torch.zeros(1)").replace("self.mu + self.sigma * self.epsilon", weight)
    report = audit(resolve(write(tmp_path, text)))
    assert "MUP106" not in {each.rule for each in report.violations}
    assert not report.unanalysed


@pytest.mark.parametrize("weight", [
    "self.mu + self.sigma * torch.ones_like(self.sigma)",
    "self.mu + self.sigma * torch.randn_like(self.sigma) + 0.1 * self.sigma",
    "torch.addcmul(self.sigma, self.mu, torch.randn(self.mu.shape))",
])  # fmt: skip
def test_a_mean_that_is_read_beside_the_noise_adds_up(weight: str, tmp_path: Path) -> None:
    text = NOISY.replace("NOISE", "torch.zeros(1)").replace("self.mu + self.sigma * self.epsilon", weight)
    report = audit(resolve(write(tmp_path, text)))
    assert {name for each in report.violations if each.rule == "MUP106" for name in each.tensors} == {"mix.sigma"}
