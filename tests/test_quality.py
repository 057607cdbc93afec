"""Advice for models in which nothing is wrong, and sizes that stay on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from bugs.plant import FIXTURES
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.audit import audit
from muaudit.findings.model import Report
from muaudit.targets import resolve
from muaudit.targets.options import TargetOptions

X = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
GPT = str(FIXTURES / "gpt" / "table8.py") + ":GPT"


class Bottleneck(nn.Module):
    """A code of 64 values, the first probe's width, between growing layers; µP for that: an output, then an input.

    hidden: the layer before the code starts as it would if the code grew.
    """

    def __init__(self, width: int, hidden: bool = False) -> None:
        super().__init__()
        self.width = width
        self.embed, self.down = nn.Linear(8, width, bias=False), nn.Linear(width, 64, bias=False)
        self.up, self.head = nn.Linear(64, width, bias=False), nn.Linear(width, 4, bias=False)
        nn.init.normal_(self.embed.weight, std=0.3)
        nn.init.normal_(self.down.weight, std=width**-0.5 if hidden else 8 / width)
        nn.init.normal_(self.up.weight, std=0.1)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        code = torch.tanh(self.down(torch.tanh(self.embed(x))))
        return self.head(torch.tanh(self.up(code)))


def check(up: float, hidden: bool = False) -> Report:
    """The bottleneck under Adam; `up` is the exponent of the learning rate of the layer after the code."""

    def optimizer(model: Any) -> torch.optim.Optimizer:
        m = model.width / 64
        rates = {model.embed: 0.0, model.down: -1.0, model.up: up, model.head: -1.0}
        return torch.optim.Adam([{"params": layer.parameters(), "lr": 1e-3 * m**e} for layer, e in rates.items()])

    def loss(output: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(output, torch.zeros(16, dtype=torch.long))

    return muaudit.check(
        lambda width: Bottleneck(width, hidden), batch=lambda width: X, loss=loss, optimizer=optimizer, widths=(64, 128)
    )


def test_a_size_that_stays_on_purpose_is_no_finding() -> None:
    report = check(0.0)
    assert {v.rule for v in report.violations} == {"MUP510"}  # its tanh, which is advice
    assert report.verdict == "mup"


def test_a_size_that_stays_among_hidden_weights_is_named() -> None:
    (found,) = check(-1.0, hidden=True).violations
    assert (found.rule, found.severity, set(found.tensors)) == ("MUP404", "error", {"down.weight", "up.weight"})
    assert "stays 64, the width at 64, when that grows to 128" in found.message


def test_one_mistake_beside_a_size_that_stays_on_purpose_is_told_as_it_is() -> None:
    """Were the code meant to grow, the init of the layer before it would be wrong in place of this learning rate."""
    (found,) = check(-1.0).violations
    assert (found.rule, found.tensors) == ("MUP302", ("up.weight",))


class Convolved(nn.Module):
    """Convolutions, and normalised ones of 64 channels among them as if these grew too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.embed, self.down = nn.Conv1d(3, width, 3), nn.Conv1d(width, 64, 3)
        self.mid, self.norm, self.up = nn.Conv1d(64, 64, 3), nn.GroupNorm(4, 64), nn.ConvTranspose1d(64, width, 2)
        self.head = nn.Linear(width, 4)
        for conv, fan_in in ((self.embed, 9), (self.down, 3 * width), (self.mid, 192), (self.up, 64)):
            nn.init.normal_(conv.weight, std=fan_in**-0.5)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        code = torch.relu(self.norm(self.mid(torch.relu(self.down(torch.relu(self.embed(x)))))))
        return self.head(torch.relu(self.up(code)).mean(-1))


def test_channels_that_stay_among_hidden_convolutions_are_named() -> None:
    def optimizer(model: Any) -> torch.optim.Optimizer:
        hidden = [layer.weight for layer in (model.down, model.mid, model.up, model.head)]
        rest = [p for p in model.parameters() if all(p is not each for each in hidden)]
        return torch.optim.Adam([{"params": hidden, "lr": 0.064 / model.width}, {"params": rest}], lr=1e-3)

    report = muaudit.check(Convolved, batch=lambda width: torch.randn(4, 3, 12), optimizer=optimizer, widths=(64, 128),
                           loss=lambda out, batch: F.cross_entropy(out, torch.arange(4)))  # fmt: skip
    wrong = [violation for violation in report.violations if violation.severity != "advice"]
    assert [violation.rule for violation in wrong] == ["MUP404"]
    assert {"down.weight", "mid.weight", "up.weight"} <= set(wrong[0].tensors)


@pytest.mark.parametrize(("heads", "small"), [(2, False), (4, True)])
def test_small_heads_of_the_models_own_width_are_noted(heads: int, small: bool) -> None:
    """GPTConfig's own n_embd is 64: d_head 32 with two heads, 16 with four."""
    report = audit(resolve(GPT, TargetOptions(set={"n_head": heads})))
    assert report.verdict == "mup"
    assert [v.message for v in report.violations if v.rule == "MUP502"] == (
        ["attention in transformer.h.*.attn: heads are 16 wide in the proxy, at least 32 transfers better"]
        if small
        else []
    )


def test_advice_waits_until_nothing_is_wrong() -> None:
    wrong = audit(resolve(str(FIXTURES / "mlp" / "sp.py")))
    assert not [v for v in wrong.violations if v.severity == "advice"]


def test_the_heads_of_the_author_count_and_not_those_of_the_probe(tmp_path: Path) -> None:
    """64 wide with sixteen heads, which the probes have four of: 4 and not 16."""
    text = Path(GPT.removesuffix(":GPT")).read_text()
    file = tmp_path / "many_heads.py"
    file.write_text(text.replace("n_head: int = 2", "n_head: int = 16"))
    assert file.read_text() != text
    (found,) = [v for v in audit(resolve(f"{file}:GPT")).violations if v.rule == "MUP502"]
    assert "heads are 4 wide" in found.message
