"""microsoft/mup's own classes: its readout, base shapes and optimizers are µP; without its optimizer they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.findings.model import Report

mup = pytest.importorskip("mup", reason="pip install --no-deps mup")
D_IN, D_OUT, VOCAB = 16, 10, 64


class MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(D_IN, width), nn.Linear(width, width)
        self.readout = mup.MuReadout(width, D_OUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.readout(F.relu(self.second(F.relu(self.first(x)))))


class Transformer(nn.Module):
    """One block; the attention factor is 1/d_head as µP asks."""

    def __init__(self, width: int, heads: int = 4, tied: bool = False) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.embed = nn.Embedding(VOCAB, width)
        self.norm, self.last = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.readout = mup.MuSharedReadout(self.embed.weight, bias=False) if tied else mup.MuReadout(width, VOCAB)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        b, t, _ = x.shape
        h = self.norm(x)
        q, k, v = (f(h).view(b, t, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        weights = (8 * q @ k.transpose(-1, -2) / q.shape[-1]).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(b, t, self.width))
        return self.readout(self.last(x + self.down(F.gelu(self.up(self.last(x))))))


def based(make: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
    """`make` followed by the library's own set-up."""

    def build(width: int) -> nn.Module:
        model = make(width)
        mup.set_base_shapes(model, make(32), delta=make(48))
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and "readout" not in name:
                mup.init.normal_(parameter, std=1.0) if "embed" in name else mup.init.kaiming_normal_(parameter)
        return model

    return build


def audit(make: Callable[[int], nn.Module], optimizer: Callable[[Any], torch.optim.Optimizer], tokens: bool) -> Report:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(VOCAB, (2, 16), generator=generator) if tokens else torch.randn(8, D_IN, generator=generator)
    return muaudit.check(
        based(make),
        batch=lambda width: x,
        loss=lambda out, batch: F.cross_entropy(out.flatten(0, -2), torch.zeros(out[..., 0].numel(), dtype=torch.long)),
        optimizer=optimizer,
        widths=(64, 128),
    )


MODELS = {"mlp": (MLP, False), "transformer": (Transformer, True), "tied": (lambda w: Transformer(w, tied=True), True)}
RIGHT = {
    "MuAdam": lambda model: mup.MuAdam(model.parameters(), lr=1e-3),
    "MuAdamW": lambda model: mup.MuAdamW(model.parameters(), lr=1e-3, weight_decay=0.0),
    "MuSGD": lambda model: mup.MuSGD(model.parameters(), lr=1e-1),
}


@pytest.mark.parametrize("optimizer", RIGHT)
@pytest.mark.parametrize("model", MODELS)
def test_library_set_up_passes(model: str, optimizer: str) -> None:
    report = audit(MODELS[model][0], RIGHT[optimizer], MODELS[model][1])
    assert not [v for v in report.violations if v.severity != "advice"], report.violations
    assert report.verdict == "mup"


@pytest.mark.parametrize("model", MODELS)
def test_without_its_optimizer_the_hidden_learning_rates_are_blamed(model: str) -> None:
    report = audit(MODELS[model][0], lambda m: torch.optim.Adam(m.parameters(), lr=1e-3), MODELS[model][1])
    hidden = {t.name for t in report.tensors if t.roles == ("hidden",)}
    blamed = [v for v in report.violations if v.severity == "error"]
    assert {v.rule for v in blamed} == {"MUP301"}
    assert {name for v in blamed for name in v.tensors} == hidden


def test_readout_scaled_by_hand_as_well_is_doubled() -> None:
    class Doubled(MLP):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * (32 / self.second.weight.shape[0])

    report = audit(Doubled, RIGHT["MuAdam"], False)
    errors = [(v.rule, v.tensors) for v in report.violations if v.severity == "error"]
    assert [names for rule, names in errors if rule == "MUP203" and "readout.weight" in names]
    assert {name for _, names in errors for name in names} <= {"readout.weight", "readout.bias"}


AS_PUBLISHED = """
import mup
from torch import nn

class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.head = {head}

    def forward(self, x):
        return self.head(self.body(x)){behind}
"""


@pytest.mark.parametrize(("head", "behind", "optimizer", "rules"), [
    ("mup.MuReadout(width, 4)", "", None, set()),
    ("mup.MuReadout(width, 4)", "", "adamw", {"MUP301"}),  # the library's layers, trained by torch's own optimizer
    ("mup.MuReadout(width, 4)", " * (64 / self.head.weight.shape[1])", None, {"MUP203"}),
    ("nn.Linear(width, 4)", "", None, {"MUP202", "MUP301"}),  # the library is imported and not used
])  # fmt: skip
def test_base_shapes_that_a_training_script_would_set(
    head: str, behind: str, optimizer: str | None, rules: set[str], tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(AS_PUBLISHED.format(head=head, behind=behind))
    report = muaudit.check(str(tmp_path / "net.py"), optimizer=optimizer)
    assert {v.rule for v in report.violations if v.severity == "error"} == rules
