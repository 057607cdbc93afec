"""Weights fused of outputs that grow and outputs that do not: by hand, what does not grow is a readout inside.

A row of a hidden weight starts like n^-1/2 (TP5 Table 3, arXiv 2203.03466), one that makes what does not grow like
1/n; under Adam both learn at 1/n, so that nothing but the start of these rows tells them apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.findings.model import Report

BASE = 32


class Fused(nn.Module):
    """Features that grow beside eight states that do not, made by one layer."""

    def __init__(
        self, width: int, states: int = 8, start: float = 0.0, split: str = "split", factor: float = 0.0,
        bias: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.sizes, self.split, self.factor = (width // 4, states), split, (width / BASE) ** factor
        self.embed = nn.Linear(8, width, bias=False)
        self.proj = nn.Linear(width, sum(self.sizes), bias=bias)
        self.head = nn.Linear(width // 4, 4, bias=False)
        self.mix = nn.Linear(states, 4, bias=False)
        with torch.no_grad():
            self.head.weight *= (width / BASE) ** -0.5
            self.proj.weight[width // 4 :] *= (width / BASE) ** start

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.proj(torch.tanh(self.embed(x)))
        if self.split == "slice":
            features, states = made[..., : self.sizes[0]], made[..., self.sizes[0] :]
        else:
            features, states = made.split(self.sizes, dim=-1)
        return self.head(torch.tanh(features)) + self.mix(torch.tanh(states * self.factor))


def adam(model: nn.Module) -> torch.optim.Optimizer:
    growing = {"proj.weight", "head.weight"}
    m = model.embed.weight.shape[0] / BASE  # type: ignore[union-attr, operator]
    return torch.optim.Adam(
        [{"params": [p], "lr": 1e-3 / m if name in growing else 1e-3} for name, p in model.named_parameters()]
    )


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    """TP5 Table 3: fan_out for the input weights, 1/fan_in for the readout, a constant between them."""
    m = model.embed.weight.shape[0] / BASE  # type: ignore[union-attr, operator]
    rates = {"embed.weight": m, "head.weight": 1 / m}
    return torch.optim.SGD([{"params": [p], "lr": rates.get(name, 1.0)} for name, p in model.named_parameters()])


def audited(build: Callable[[int], nn.Module], profile: str = "tp5", optimizer: Any = adam) -> Report:
    report = muaudit.check(build, batch=lambda width: torch.randn(2, 5, 8), optimizer=optimizer, widths=(64, 128),
                           profile=profile)  # fmt: skip
    assert not report.unanalysed
    return report


def told(report: Report) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(v.rule, v.severity, v.tensors) for v in report.violations if v.rule == "MUP508" or v.severity != "advice"]


@pytest.mark.parametrize("split", ["split", "slice"])
def test_rows_that_make_what_does_not_grow_should_start_smaller(split: str) -> None:
    report = audited(lambda n: Fused(n, split=split))
    assert told(report) == [("MUP508", "advice", ("proj.weight",))]
    found = next(v for v in report.violations if v.rule == "MUP508")
    assert "outputs 16 to 24 do not grow" in found.message
    assert "n^-1/2" in found.message
    assert "n^-1 or smaller" in found.message
    assert report.verdict == "mup"


@pytest.mark.parametrize("start", [-0.5, -1.0])
def test_rows_that_start_as_a_readout_does_are_right(start: float) -> None:
    assert told(audited(lambda n: Fused(n, start=start))) == []


def test_parts_that_all_grow_are_one_hidden_weight() -> None:
    class Both(Fused):
        def __init__(self, width: int) -> None:
            super().__init__(width, states=width // 4)
            with torch.no_grad():
                self.mix.weight *= (width / BASE) ** -0.5

    found = [finding for finding in told(audited(Both)) if finding[0] == "MUP508"]
    assert found == []


def test_where_a_readout_may_start_as_a_hidden_weight_its_rows_may_too() -> None:
    assert told(audited(Fused, profile="standard-full-align")) == []


def test_under_sgd_the_rows_need_a_learning_rate_of_their_own() -> None:
    found = next(v for v in audited(lambda n: Fused(n, start=-0.5), optimizer=sgd).violations if v.severity == "error")
    assert (found.rule, found.tensors, found.expected) == ("MUP303", ("proj.weight",), "n^-1")
    assert "outputs 16 to 24" in found.message
    assert "a layer of their own" in found.fix


def test_under_sgd_a_constant_on_the_rows_does_instead() -> None:
    """λ + 2μ = −1 with λ = 0, and s + μ = −1 with s = −1/2, both for μ = −1/2 (TP5 Lemma J.1)."""
    assert told(audited(lambda n: Fused(n, factor=-0.5), optimizer=sgd)) == []


@pytest.mark.parametrize(("factor", "slope"), [(0.0, 1.0), (-0.5, 0.0)])
def test_what_training_does_to_the_rows_under_sgd(factor: float, slope: float) -> None:
    """What the loss reads of the states changes like n, and with the constant not at all with n."""
    changes = []
    for width in (128, 2048):
        total = 0.0
        for seed in range(4):
            torch.manual_seed(seed)
            model, x = Fused(width, factor=factor, start=0.0 if factor else -0.5), torch.randn(2, 5, 8)
            optimizer, target = sgd(model), torch.randn(2, 5, 4)
            for group in optimizer.param_groups:
                group["lr"] *= 0.01
            before = model.proj(torch.tanh(model.embed(x)))[..., width // 4 :]
            (model(x) - target).square().mean().backward()
            optimizer.step()
            after = model.proj(torch.tanh(model.embed(x)))[..., width // 4 :]
            total += float(((after - before) * model.factor).detach().square().mean().sqrt())
        changes.append(total)
    assert math.log(changes[1] / changes[0]) / math.log(16) == pytest.approx(slope, abs=0.25)


def test_rows_that_grow_at_initialization_are_an_error() -> None:
    found = [v for v in audited(lambda n: Fused(n, start=0.5)).violations if v.severity == "error"]
    assert [(v.rule, v.tensors, v.found) for v in found] == [("MUP103", ("proj.weight",), "n^0")]
    assert "outputs 16 to 24" in found[0].message


@pytest.mark.parametrize("bias", [False, True])
def test_many_rows_of_another_size_do_not_hide_what_the_others_start_like(bias: bool) -> None:
    """64 rows of 1/n beside n/4 of n^-1/2: the whole is no power of the width, each of the two is one."""

    def build(width: int) -> nn.Module:
        model = Fused(width, states=64, start=-0.5, bias=bias)
        if bias:
            nn.init.zeros_(model.proj.bias)
        return model

    report = audited(build)
    assert told(report) == []
    assert next(row for row in report.tensors if row.name == "proj.weight").init_exponent == -0.5
    assert report.verdict == "mup"


def test_a_constant_on_some_outputs_is_a_mistake_of_these_rows() -> None:
    """Under Adam their change then falls like n^-1/2: λ + μ = −3/2, where −1 is needed."""
    found = [v for v in audited(lambda n: Fused(n, factor=-0.5)).violations if v.severity == "error"]
    assert [v.tensors for v in found] == [("proj.weight",)]
    assert "outputs 16 to 24" in found[0].message


def test_one_rate_for_everything_is_one_finding_of_the_whole_weight() -> None:
    found = audited(Fused, optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=1e-3)).violations
    of_fused = [v for v in found if v.severity == "error" and "proj.weight" in v.tensors]
    assert [v.rule for v in of_fused] == ["MUP301"]
    assert "outputs" not in of_fused[0].message


# -- the same rows, written in other ways ---------------------------------------------------------------------------
Split = Callable[[torch.Tensor, nn.Parameter, nn.Parameter, int], tuple[torch.Tensor, torch.Tensor]]


def _added(h: torch.Tensor, w: nn.Parameter, b: nn.Parameter, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    made = h @ w.T + b
    return made[..., :n], made[..., n:]


def _convolved(h: torch.Tensor, w: nn.Parameter, b: nn.Parameter, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    made = F.conv1d(h.transpose(1, 2), w.unsqueeze(-1), b).transpose(1, 2)
    return made[..., :n], made[..., n:]


def _after_a_function(h: torch.Tensor, w: nn.Parameter, b: nn.Parameter, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    made = F.silu(F.linear(h, w, b))
    return made[..., :n], made[..., n:]


def _by_einsum(h: torch.Tensor, w: nn.Parameter, b: nn.Parameter, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.einsum("btn,on->bto", h, w) + b
    return made[..., :n], made[..., n:]


def _of_weights(h: torch.Tensor, w: nn.Parameter, b: nn.Parameter, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    weights, biases = w.split([n, 6]), b.split([n, 6])
    return F.linear(h, weights[0], biases[0]), F.linear(h, weights[1], biases[1])


def _turned(h: torch.Tensor, w: nn.Parameter, b: nn.Parameter, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    made = (w @ h.transpose(1, 2)).transpose(1, 2) + b
    return made[..., :n], made[..., n:]


def _also_read_whole(h: torch.Tensor, w: nn.Parameter, b: nn.Parameter, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    made = F.linear(h, w, b)
    return made[..., :n] * F.linear(h, w).softmax(-1)[..., :n] * n, made[..., n:]


class Written(nn.Module):
    """n features and 6 states of one matrix; in µP by hand (Table 3, Adam) where the states start like the rest."""

    def __init__(self, width: int, way: Split, start: float = 0.0) -> None:
        super().__init__()
        self.width, self.way = width, way
        self.embed = nn.Linear(8, width, bias=False)
        self.w = nn.Parameter(torch.randn(width + 6, width) * width**-0.5)
        self.b = nn.Parameter(torch.zeros(width + 6))
        self.head, self.mix = nn.Linear(width, 3, bias=False), nn.Linear(6, 3)
        nn.init.normal_(self.embed.weight)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.w[width:] *= (width / BASE) ** start

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features, states = self.way(torch.relu(self.embed(x)), self.w, self.b, self.width)
        return self.head(F.gelu(features)) + self.mix(torch.tanh(states))  # type: ignore[no-any-return]


def written_adam(model: nn.Module) -> torch.optim.Optimizer:
    m = model.width / BASE  # type: ignore[operator]
    rates = {"w": 1e-3 / m, "head.weight": 1e-3 / m}
    return torch.optim.Adam([{"params": [p], "lr": rates.get(name, 1e-3)} for name, p in model.named_parameters()])


@pytest.mark.parametrize("way", [_added, _convolved, _after_a_function, _by_einsum, _of_weights, _turned])
def test_the_same_rows_written_otherwise_have_the_same_verdict(way: Split) -> None:
    right = audited(lambda n: Written(n, way), optimizer=written_adam)
    assert (right.verdict, told(right)) == ("mup", [("MUP508", "advice", ("w",))])
    (found,) = [v for v in audited(lambda n: Written(n, way, 0.5), optimizer=written_adam).violations
                if v.severity != "advice"]  # fmt: skip
    assert (found.rule, found.tensors, found.found) == ("MUP103", ("w",), "n^0")


def test_rows_that_cannot_be_told_apart_are_not_analysed() -> None:
    """What reads all of the outputs at once is no use of some of them."""
    report = muaudit.check(lambda n: Written(n, _also_read_whole), batch=lambda width: torch.randn(2, 5, 8),
                           optimizer=written_adam, widths=(64, 128))  # fmt: skip
    assert {each.name for each in report.unanalysed} >= {"w"}
    assert report.verdict != "mup"


class ChannelsLast(nn.Module):
    """Maps of channels that lie last in memory, put side by side and then read as rows: no entry is moved for that."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, width), nn.Linear(3, width)
        self.mix, self.last = nn.Linear(2 * width, width), nn.Linear(width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sides = [layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) for layer in (self.left, self.right)]
        rows = torch.cat(sides, 1).permute(0, 2, 3, 1).view(-1, self.mix.in_features)
        return self.last(self.mix(rows).relu())


def test_a_view_of_what_was_put_side_by_side_with_channels_last() -> None:
    report = muaudit.check(ChannelsLast, batch=lambda width: torch.randn(2, 3, 4, 4), widths=(16, 32))
    roles = {each.name: each.roles for each in report.tensors if each.name.endswith(".weight")}
    assert not report.unanalysed
    assert roles["mix.weight"] == ("hidden",)
    assert roles["last.weight"] == ("output",)
