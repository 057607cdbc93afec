"""Profile lingle (arXiv 2404.05728): what broke transfer there is advice, what kept it a note; neither elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from muaudit.audit import check
from muaudit.findings.model import Report
from muaudit.parametrizations.studies import ABLATIONS

VOCABULARY, HEAD, BASE = 16, 16, 32


@dataclass(frozen=True)
class Change:
    """One change to the study's baseline: no biases, no gains, q·k/D, ReLU, many heads as wide as the model, Adam."""

    zero_query: bool = False
    mlp: str = "relu"
    standard_unembedding: bool = False
    kv_heads: int = 2
    biases: bool = False
    normed_embedding: bool = False
    cosine: bool = False
    gain: str = ""
    decay: float = 0.0
    lion: bool = False
    root: bool = False


class Norm(nn.Module):
    def __init__(self, width: int, gain: str) -> None:
        super().__init__()
        self.width = width
        if gain:
            self.gain = nn.Parameter(torch.ones(width if gain == "vector" else 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.rms_norm(x, (self.width,))
        return x * self.gain if hasattr(self, "gain") else x


class Model(nn.Module):
    def __init__(self, width: int, change: Change) -> None:
        super().__init__()
        self.width, self.change = width, change
        d, bias = width // 2, change.biases  # two heads, which grow
        self.embed = nn.Embedding(VOCABULARY, width)
        self.norm_1, self.norm_2, self.norm_3 = (Norm(width, change.gain) for _ in range(3))
        self.q = nn.Linear(width, width, bias=bias)
        self.k, self.v = (nn.Linear(width, change.kv_heads * d, bias=bias) for _ in range(2))
        self.o = nn.Linear(width, width, bias=bias)
        self.up, self.down = nn.Linear(width, 4 * width, bias=bias), nn.Linear(4 * width, width, bias=bias)
        self.gate = nn.Linear(width, 4 * width, bias=False) if change.mlp == "swiglu" else None
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and name != "embed.weight":
                power = -1.0 if name == "head.weight" and not change.standard_unembedding else -0.5
                nn.init.normal_(parameter, 0.0, parameter.shape[1] ** power)
            elif "bias" in name:
                nn.init.zeros_(parameter)
        if change.zero_query:
            nn.init.zeros_(self.q.weight)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        x = F.rms_norm(x, (self.width,)) if self.change.normed_embedding else x
        h = self.norm_1(x)
        q, k, v = (f(h).unflatten(-1, (-1, self.width // 2)).transpose(1, 2) for f in (self.q, self.k, self.v))
        k, v = (t.repeat_interleave(2 // self.change.kv_heads, 1) for t in (k, v))
        d = q.shape[-1]
        a = F.softmax(q @ k.transpose(-1, -2) / (d**0.5 if self.change.root else d), -1)
        x = x + self.o((a @ v).transpose(1, 2).flatten(-2))
        h = self.norm_2(x)
        up = F.relu(self.up(h))
        up = up.square() if self.change.mlp == "squared" else up
        up = F.silu(self.gate(h)) * self.up(h) if self.gate is not None else up
        return self.head(self.norm_3(x + self.down(up)))  # type: ignore[no-any-return]


class Lion(torch.optim.Optimizer):
    """The published rule: the sign of an average of gradients."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                held = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                p.sub_(group["lr"] * (0.9 * held + 0.1 * p.grad).sign())
                held.mul_(0.99).add_(0.01 * p.grad)


def audited(change: Change, profile: str = "lingle") -> Report:
    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        m = model.width / BASE  # type: ignore[operator]
        groups = [
            {"params": [p], "lr": 1e-3 / m if p.dim() > 1 and name != "embed.weight" else 1e-3,
             **({"weight_decay": change.decay * m if p.dim() > 1 and name != "embed.weight" else 0.0}
                if change.decay else {})}
            for name, p in model.named_parameters()
        ]  # fmt: skip
        if change.lion:
            return Lion(groups, lr=1e-3)
        return torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.0, eps=1e-12)

    def schedule(optimizer: torch.optim.Optimizer) -> Any:
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)

    return check(
        lambda width: Model(width, change), profile=profile, widths=(32, 64), optimizer=optimizer,
        batch=lambda width: torch.randint(0, VOCABULARY, (2, 8), generator=torch.Generator().manual_seed(0)),
        loss=lambda out, tokens: F.cross_entropy(out[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()),
        scheduler=schedule if change.cosine else None,
    )  # fmt: skip


def kept(report: Report) -> list[str]:
    """The changes that the note of the report names."""
    note = next((each for each in report.notes if "seen to keep" in each), "")
    return [name for name, each in ABLATIONS.items() if each.change in note]


KEPT = {
    "zero query": Change(zero_query=True), "multiplicative": Change(mlp="swiglu"),
    "standard unembedding": Change(standard_unembedding=True), "multi-query": Change(kv_heads=1),
    "projection biases": Change(biases=True), "normed embedding": Change(normed_embedding=True),
    "cosine": Change(cosine=True),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_what_kept_transfer_is_told_and_nothing_else(name: str) -> None:
    report = audited(KEPT[name])
    assert kept(report) == [name]
    assert not [each for each in report.violations if each.severity != "advice" or each.rule == "MUP505"]


def test_the_baseline_has_nothing_to_tell_and_squared_relu_has() -> None:
    report = audited(Change())
    assert kept(report) == []
    assert not [each for each in report.violations if each.severity != "advice" or each.rule == "MUP505"]
    assert kept(audited(Change(mlp="squared"))) == ["multiplicative"]


@pytest.mark.parametrize(
    ("change", "rule", "said"),
    [(Change(gain="vector"), "MUP505", "a gain that is trained"),
     (Change(gain="scalar"), "MUP505", "gain of one number"),
     (Change(decay=0.1), "MUP505", "decoupled weight decay"), (Change(lion=True), "MUP505", "Lion"),
     (Change(root=True), "MUP201", "attention logits")],
)  # fmt: skip
def test_what_broke_transfer_is_advice_with_what_it_did(change: Change, rule: str, said: str) -> None:
    (found,) = [each for each in audited(change).violations if each.rule == rule]
    assert found.severity == "advice"
    assert said in found.message
    if rule == "MUP505":
        assert "widths 128" in (found.consequence or "")


def test_other_profiles_say_nothing_of_the_study() -> None:
    report = audited(replace(Change(), zero_query=True, gain="vector"), "tp5")
    assert not any("Lingle" in note for note in report.notes)
    assert "MUP505" not in {each.rule for each in report.violations}
