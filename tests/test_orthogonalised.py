"""Muon on what is no matrix between two widths, and on several matrices as one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.findings.model import Report

VOCABULARY, HEADS = 32, 2


class Model(nn.Module):
    """Tokens through one block of attention in µP (TP5 Table 3). fused: queries, keys and values in one weight."""

    def __init__(self, width: int, *, fused: bool) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY, bias=False)
        parts = {"qkv": 3} if fused else {"q": 1, "k": 1, "v": 1}
        self.parts = nn.ModuleDict({name: nn.Linear(width, size * width, bias=False) for name, size in parts.items()})
        self.out = nn.Linear(width, width, bias=False)
        self.depthwise = nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        for layer in (*self.parts.values(), self.out):
            nn.init.normal_(layer.weight, std=width**-0.5)
        nn.init.normal_(self.embed.weight, std=1.0)
        nn.init.normal_(self.depthwise.weight, std=0.5)
        nn.init.normal_(self.head.weight, std=1 / width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        x = x + self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        made = [layer(x) for layer in self.parts.values()]
        q, k, v = made if len(made) > 1 else made[0].chunk(3, dim=-1)
        q, k, v = (each.unflatten(-1, (HEADS, -1)).transpose(1, 2) for each in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, scale=8 / q.shape[-1])
        return self.head(self.out(mixed.transpose(1, 2).flatten(2)))


class Muon(torch.optim.Optimizer):
    """Orthogonalises what has two dims or more, flattened, with the factor of the spectral condition."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.02})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                flat = p.grad.flatten(1)
                left, sizes, right = torch.linalg.svd(flat, full_matrices=False)
                kept = left @ torch.diag((sizes > 1e-9 * sizes[0]).to(flat)) @ right
                factor = (flat.shape[0] / flat.shape[1]) ** 0.5
                p.sub_(group["lr"] * factor * kept.view_as(p))


def audit(extra: tuple[str, ...] = (), *, fused: bool = False) -> Report:
    def optimizer(model: Model) -> list[torch.optim.Optimizer]:
        m = model.out.weight.shape[0] / 64
        named = dict(model.named_parameters())
        muon = {name: p for name, p in named.items() if name.startswith(("parts", "out")) or name in extra}
        rest = [{"params": [p], "lr": 1e-3 / (m if name == "head.weight" else 1)} for name, p in named.items()
                if name not in muon]  # fmt: skip
        held = [{"params": [p], "lr": 0.02 * (m if name == "embed.weight" else 1)} for name, p in muon.items()]
        return [Muon(held), *([torch.optim.AdamW(rest, weight_decay=0.0)] if rest else [])]

    return muaudit.check(
        lambda width: Model(width, fused=fused),
        batch=lambda width: torch.randint(0, VOCABULARY, (4, 8), generator=torch.Generator().manual_seed(0)),
        loss=lambda out, batch: F.cross_entropy(out.flatten(0, 1), batch.flatten()),
        optimizer=optimizer, widths=(64, 128),
    )  # fmt: skip


def test_matrices_between_widths_alone_are_silent() -> None:
    report = audit()
    assert not [v for v in report.violations if v.severity != "advice" or v.rule in ("MUP322", "MUP323")]
    assert not report.unanalysed


@pytest.mark.parametrize(
    ("name", "what"),
    [("embed.weight", "embedding"), ("head.weight", "readout"), ("depthwise.weight", "depthwise kernel")],
)
def test_what_is_no_such_matrix_is_told(name: str, what: str) -> None:
    (found,) = [v for v in audit((name,)).violations if v.severity != "advice"]
    assert (found.rule, found.tensors) == ("MUP322", (name,))
    assert f"{what} under an orthogonalised update" in found.message


def test_queries_keys_and_values_that_are_orthogonalised_as_one() -> None:
    (found,) = [v for v in audit(fused=True).violations if v.rule == "MUP323"]
    assert (found.severity, found.tensors) == ("advice", ("parts.qkv.weight",))
    assert "its outputs are taken apart into 64, 64, 64" in found.message
