"""What a zero readout hides at the first step: eps against gradients, and weights that wait for each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.findings.model import Report

X = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """µP (Table 3) with a zero readout; `zeros` names further weights that start at zero."""

    zeros: tuple[str, ...] = ()
    skip = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width, bias=False)
        self.up = nn.Linear(width, width, bias=False)
        self.down = nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)
        nn.init.normal_(self.embed.weight, std=0.3)
        for layer in (self.up, self.down):
            nn.init.normal_(layer.weight, std=width**-0.5)
        for name in (*self.zeros, "head"):
            nn.init.zeros_(getattr(self, name).weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.embed(x))
        out = self.down(torch.tanh(self.up(h)))
        return self.head(h + out if self.skip else out)


def audit(model: type[nn.Module], eps: float | Callable[[float], float] = 1e-8, width: int = 8192) -> Report:
    def optimizer(net: Any) -> torch.optim.Optimizer:
        m = net.up.in_features / 64
        of = eps if callable(eps) else lambda m: eps
        hidden = {"params": [net.up.weight, net.down.weight], "lr": 1e-3 / m, "eps": of(m)}
        embed = {"params": [net.embed.weight], "lr": 1e-3, "eps": of(m)}
        return torch.optim.Adam([hidden, embed, {"params": [net.head.weight], "lr": 1e-3 / m, "eps": 1e-8}])

    return muaudit.check(
        model, batch=lambda width: X, loss=lambda out, batch: F.cross_entropy(out, torch.zeros(16, dtype=torch.long)),
        optimizer=optimizer, widths=(64, 128), target_width=width,
    )  # fmt: skip


def test_a_large_eps_behind_a_zero_readout_is_found() -> None:
    report = audit(Net, eps=1e-3)
    found = [v for v in report.violations if v.rule == "MUP311"]
    assert {name for v in found for name in v.tensors} == {"embed.weight", "up.weight", "down.weight"}
    assert "MUP311" not in {v.rule for v in audit(Net, eps=1e-3, width=64).violations} or found


def test_a_small_eps_and_one_that_falls_with_the_gradients_are_fine() -> None:
    for eps in (1e-12, lambda m: 1e-5 / m):
        report = audit(Net, eps=eps)  # type: ignore[arg-type]
        assert (report.verdict, [v for v in report.violations if v.severity != "advice"]) == ("mup", [])


@pytest.mark.parametrize(("zeros", "skip", "dead"), [
    (("down",), False, {"down.weight", "head.weight"}),
    (("down",), True, set()),  # the readout hears of the stream beside it
    ((), False, set()),
])  # fmt: skip
def test_weights_that_wait_for_each_other(zeros: tuple[str, ...], skip: bool, dead: set[str]) -> None:
    report = audit(type("Net", (Net,), {"zeros": zeros, "skip": skip}), eps=1e-12)
    found = [v for v in report.violations if v.rule == "MUP407"]
    assert {name for v in found for name in v.tensors} == dead
    assert len(found) == (1 if dead else 0)
    assert (report.count("error") == 0) == (not dead)


class Carried(Net):
    """The same, its readout in another gauge: a constant n^1/2 behind it, and an init and a rate that undo it."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        nn.init.normal_(self.head.weight, std=0.5 * (width / 64) ** -1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * (self.up.in_features / 64) ** 0.5


@pytest.mark.parametrize(("power", "found"), [(0.0, True), (0.5, False)])
def test_an_eps_above_all_gradients_follows_them_upwards_too(power: float, found: bool) -> None:
    """Behind a constant n^1/2 the gradients of a readout grow like n^1/2 (A → Aθ, ε → εθ; TP5 Lemma J.1)."""

    def optimizer(net: Any) -> torch.optim.Optimizer:
        m = net.up.in_features / 64
        groups = [{"params": [net.up.weight, net.down.weight], "lr": 1e-3 / m}, {"params": [net.embed.weight]}]
        head = {"params": [net.head.weight], "lr": 1e-3 * m**-1.5, "eps": 10.0 * m**power}
        return torch.optim.Adam([*groups, head], lr=1e-3, eps=1e-15)

    report = muaudit.check(
        Carried, batch=lambda width: X, loss=lambda out, batch: F.cross_entropy(out, torch.zeros(16, dtype=torch.long)),
        optimizer=optimizer, widths=(64, 128), target_width=8192,
    )  # fmt: skip
    said = [(v.rule, v.tensors) for v in report.violations if v.severity != "advice"]
    assert said == ([("MUP311", ("head.weight",))] if found else [])


class Shrunk(Net):
    """A branch that falls like 1/n, and so do gradients in it: one mistake, which eps is no part of."""

    how = "plain"

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.width, self.up.scale = width, nn.Parameter(torch.full((width,), float(self.how == "gain")))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.embed(x))
        scale = {"plain": 1.0, "gain": self.up.scale, "exponential": self.up.scale.exp()}[self.how]
        return self.head(h + scale * torch.tanh(self.down(torch.tanh(self.up(h)))) * (64 / self.width))


@pytest.mark.parametrize(("how", "rule"), [("plain", "MUP207"), ("gain", "MUP208"), ("exponential", "MUP207")])
def test_a_constant_behind_functions_is_one_mistake(how: str, rule: str) -> None:
    """The exponential of a gain has a size of its own, so that the gain cannot make up for a constant on it."""

    def optimizer(net: Any) -> torch.optim.Optimizer:
        hidden = {"params": [net.up.weight, net.down.weight, net.head.weight], "lr": 0.064 / net.width}
        return torch.optim.Adam([hidden, {"params": [net.embed.weight, net.up.scale]}], lr=1e-3, eps=1e-7)

    report = muaudit.check(
        type("Shrunk", (Shrunk,), {"how": how}), batch=lambda width: X, optimizer=optimizer, widths=(64, 128),
        loss=lambda out, batch: F.cross_entropy(out, torch.zeros(16, dtype=torch.long)), target_width=8192,
    )  # fmt: skip
    assert [v.rule for v in report.violations if v.severity != "advice"] == [rule]


class Kernel(nn.Module):
    """Gaussian kernels of distances over n entries, which are of size n: exp(-n) is nothing, and so are gradients."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(8, width, bias=False)
        self.centers, self.head = nn.Parameter(torch.randn(16, width)), nn.Linear(16, 3)
        nn.init.normal_(self.up.weight, std=0.4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.exp(-(self.up(x)[:, None] - self.centers).square().sum(-1)))


def test_eps_is_not_held_against_gradients_that_an_exponential_of_a_mistake_leaves() -> None:
    report = muaudit.check(
        Kernel, batch=lambda width: X, optimizer=lambda net: torch.optim.Adam(net.parameters(), lr=1e-3),
        loss=lambda out, batch: F.cross_entropy(out, torch.arange(16) % 3), widths=(64, 128),
    )  # fmt: skip
    assert [v.rule for v in report.violations if v.severity != "advice"] == ["MUP206"]


class Auxiliary(Net):
    """A zero readout, and beside it a small loss of its own that reaches what is behind it at the first step."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.beside = 1e-6 * self.up(torch.tanh(self.embed(x))).square().mean()
        return super().forward(x)


def test_a_gradient_of_an_auxiliary_loss_alone_is_not_the_gradient_of_training() -> None:
    """By hand: after 8 updates the readout is 8e-3, and the gradients behind it are no less than without the loss."""

    def loss(out: torch.Tensor, batch: torch.Tensor, net: Any) -> torch.Tensor:
        return F.cross_entropy(out, torch.zeros(16, dtype=torch.long)) + net.beside

    net: list[Any] = []

    def build(width: int) -> nn.Module:
        net[:] = [Auxiliary(width)]
        return net[0]

    def optimizer(model: Any) -> torch.optim.Optimizer:
        m = model.up.in_features / 64
        hidden = {"params": [model.up.weight, model.down.weight, model.head.weight], "lr": 1e-3 / m}
        return torch.optim.Adam([hidden, {"params": [model.embed.weight], "lr": 1e-3}], eps=1e-10)

    report = muaudit.check(build, batch=lambda width: X, loss=lambda out, batch: loss(out, batch, net[0]),
                           optimizer=optimizer, widths=(64, 128), target_width=8192)  # fmt: skip
    assert [v.rule for v in report.violations if v.severity != "advice"] == []


class SmallBias(Net):
    """A bias that counts for a tenth: its gradients are somewhat below those of the other tensors."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.embed(x) + self.bias / 10)
        return self.head(self.down(torch.tanh(self.up(h))))


def test_small_gradients_are_held_against_those_of_the_same_step() -> None:
    """Behind a zero readout all but its own are zero at first: what is small is so beside the others a few steps on."""

    def optimizer(net: Any) -> torch.optim.Optimizer:
        m = net.up.in_features / 64
        hidden = {"params": [net.up.weight, net.down.weight, net.head.weight], "lr": 1e-6 / m}
        rest = [hidden, {"params": [net.embed.weight], "lr": 1e-6}]
        return torch.optim.Adam([*rest, {"params": [net.bias], "lr": 1e-6, "eps": 1.0}], eps=1e-30)

    report = muaudit.check(
        SmallBias, batch=lambda width: X, optimizer=optimizer, widths=(64, 128), target_width=8192,
        loss=lambda out, batch: F.cross_entropy(out, torch.zeros(16, dtype=torch.long)),
    )  # fmt: skip
    assert {(v.rule, v.tensors) for v in report.violations if v.severity != "advice"} == {("MUP311", ("bias",))}


class SmallReadout(Net):
    """A readout of 1e-5 / n: gradients behind it are no size that training has, for one step moves it by 1e-3 / m."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        nn.init.normal_(self.head.weight, std=1e-5 / width)


@pytest.mark.parametrize(("eps", "found"), [(1e-8, False), (1e-3, True)])
def test_a_readout_that_starts_small_tells_nothing_of_eps_at_the_first_step(eps: float, found: bool) -> None:
    report = audit(SmallReadout, eps=eps)
    told = {name for v in report.violations if v.rule == "MUP311" for name in v.tensors}
    assert told == ({"embed.weight", "up.weight", "down.weight"} if found else set())
