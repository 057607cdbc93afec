"""Advice of TP5 Appendix D (arXiv 2203.03466) for models in which nothing is wrong: planted, and its right twins.

The models are in µP by hand: Table 3 for Adam (hidden and output weights learn at 1/n, the readout starts at zero).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.findings.model import Report, Violation

BASE = 32
Function = Callable[[torch.Tensor], torch.Tensor]


def adam(model: nn.Module) -> torch.optim.Optimizer:
    hidden = [p for name, p in model.named_parameters() if name.startswith(("hidden", "head"))]
    others = [p for name, p in model.named_parameters() if not name.startswith(("hidden", "head"))]
    m = model.width / BASE  # type: ignore[operator]
    return torch.optim.Adam([{"params": hidden, "lr": 1e-3 / m}, {"params": others, "lr": 1e-3}])  # type: ignore[operator]


def audited(build: Callable[[int], nn.Module]) -> Report:
    report = muaudit.check(build, batch=lambda width: torch.randn(2, 6, 8), optimizer=adam, widths=(64, 128))
    assert report.verdict == "mup", [v.message for v in report.violations]
    return report


def told(report: Report, rule: str) -> list[Violation]:
    assert all(v.severity == "advice" for v in report.violations)
    return [v for v in report.violations if v.rule == rule]


class Perceptron(nn.Module):
    def __init__(self, width: int, function: Function, init: Function = nn.init.normal_) -> None:
        super().__init__()
        self.width, self.function = width, function
        self.embed, self.hidden = nn.Linear(8, width, bias=False), nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)
        with torch.no_grad():
            self.embed.weight.normal_()
            self.hidden.weight.copy_(init(self.hidden.weight) * width**-0.5)
            self.head.weight.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.function(self.hidden(torch.relu(self.embed(x)))))  # type: ignore[no-any-return]


@pytest.mark.parametrize("function", [torch.tanh, torch.sigmoid, lambda h: h.softmax(-1) * h.shape[-1]])
def test_a_squashing_function_between_hidden_layers(function: Function) -> None:
    found = told(audited(lambda n: Perceptron(n, function)), "MUP510")
    assert len(found) == 1
    assert "squashes" in found[0].message


@pytest.mark.parametrize("function", [lambda h: h**3, torch.sinh])
def test_a_function_steeper_than_its_argument(function: Function) -> None:
    found = told(audited(lambda n: Perceptron(n, function)), "MUP510")
    assert len(found) == 1
    assert "faster than its argument" in found[0].message


@pytest.mark.parametrize(
    "function",
    [
        torch.relu, F.gelu, F.silu, lambda h: torch.relu(h) ** 2,
        lambda h: h * torch.sigmoid(h),  # a gate, written out
        lambda h: 0.5 * h * (1 + torch.tanh(0.8 * (h + 0.045 * h**3))),  # GELU, written out
    ],
)  # fmt: skip
def test_functions_that_pass(function: Function) -> None:
    assert told(audited(lambda n: Perceptron(n, function)), "MUP510") == []


def test_what_a_gate_and_the_loss_read_is_not_told() -> None:
    class Gated(Perceptron):
        def __init__(self, width: int) -> None:
            super().__init__(width, torch.relu)
            self.gate = nn.Linear(8, width, bias=False)
            nn.init.normal_(self.gate.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.relu(self.embed(x)) * torch.sigmoid(self.gate(x))
            return torch.tanh(self.head(torch.relu(self.hidden(h))))

    assert told(audited(Gated), "MUP510") == []


def sparse(weight: torch.Tensor) -> torch.Tensor:
    """One entry in four, of twice the size: kurtosis 12."""
    return torch.randn_like(weight) * 2 * (torch.rand_like(weight) < 0.25)


@pytest.mark.parametrize(
    ("init", "words"),
    [(lambda w: (torch.rand_like(w) * 2 - 1) * 3**0.5, "flatter"), (sparse, "few large")],
)
def test_an_init_that_is_not_gaussian(init: Function, words: str) -> None:
    found = told(audited(lambda n: Perceptron(n, torch.relu, init)), "MUP511")
    assert [v.tensors for v in found] == [("hidden.weight",)]
    assert words in found[0].message


@pytest.mark.parametrize("init", [torch.randn_like, lambda w: nn.init.trunc_normal_(torch.empty_like(w), a=-2, b=2)])
def test_a_normal_init_and_one_cut_off_at_two_deviations(init: Function) -> None:
    assert told(audited(lambda n: Perceptron(n, torch.relu, init)), "MUP511") == []


class Attention(nn.Module):
    """Two heads that grow, q·k/d_head; queries beside keys in a layer of their own, or fused with them."""

    def __init__(self, width: int, fused: bool, zero: bool, heads: int = 2) -> None:
        super().__init__()
        self.width, self.fused, self.heads = width, fused, heads
        self.embed = nn.Linear(8, width, bias=False)
        self.hidden_q, self.hidden_kv = nn.Linear(width, width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.hidden_qkv = nn.Linear(width, 3 * width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)
        if fused:
            del self.hidden_q, self.hidden_kv
        else:
            del self.hidden_qkv
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.normal_(0, 1 if name.startswith("embed") else width**-0.5)
            self.head.weight.zero_()
            if zero:
                (self.hidden_qkv.weight[:width] if fused else self.hidden_q.weight).zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.embed(x))
        made = self.hidden_qkv(h) if self.fused else torch.cat([self.hidden_q(h), self.hidden_kv(h)], -1)
        q, k, v = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in made.split(self.width, dim=-1)
        )  # fmt: skip
        logits = q @ k.transpose(-1, -2) / q.shape[-1]
        mixed = (logits.softmax(-1) @ v).transpose(1, 2).flatten(-2)
        return self.head(torch.relu(mixed))  # type: ignore[no-any-return]


@pytest.mark.parametrize("fused", [False, True])
def test_queries_that_start_at_random(fused: bool) -> None:
    found = told(audited(lambda n: Attention(n, fused, zero=False)), "MUP509")
    assert [v.tensors for v in found] == [("hidden_qkv.weight" if fused else "hidden_q.weight",)]
    assert ("outputs 0 to 64" in found[0].message) == fused


@pytest.mark.parametrize("fused", [False, True])
def test_queries_that_start_at_zero(fused: bool) -> None:
    assert told(audited(lambda n: Attention(n, fused, zero=True)), "MUP509") == []


def test_heads_of_one_size_are_not_told() -> None:
    assert told(audited(lambda n: Attention(n, fused=False, zero=False, heads=n // 16)), "MUP509") == []
