"""Which learning rate each optimizer family needs, derived by hand (DESIGN by role; TP5 App. B.3; arXiv 2310.17813)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.findings.model import Report

BASE = 64
X = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))


class MLP(nn.Module):
    """µP by init (Table 3); ones as gain, zero biases."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.hidden, self.head = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 4)
        self.gain = nn.Parameter(torch.ones(width))
        nn.init.normal_(self.embed.weight, std=0.3)
        nn.init.normal_(self.hidden.weight, std=width**-0.5)
        nn.init.normal_(self.head.weight, std=1 / width)
        for layer in (self.embed, self.hidden, self.head):
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.hidden(torch.tanh(self.embed(x)) * self.gain)))


def named(name: str, **defaults: Any) -> type[torch.optim.Optimizer]:
    """An optimizer class known by its name only, as published implementations are recognised."""

    def init(self: Any, params: Any) -> None:
        torch.optim.Optimizer.__init__(self, params, {"lr": 1e-3, **defaults})

    return type(name, (torch.optim.Optimizer,), {"__init__": init, "step": lambda self, closure=None: None})


# exponents of (input and vectors, hidden, readout, readout bias), by hand
ADAM_LIKE = (0.0, -1.0, -1.0, 0.0)
SGD = (1.0, 0.0, -1.0, 0.0)
NORM_SCALED = (0.0, -0.5, 0.0, 0.0)  # λ = ideal step − init: 0 − 0, −1 + 1/2, −1 + 1
CASES: dict[str, tuple[Callable[[Any], torch.optim.Optimizer], tuple[float, float, float, float]]] = {
    "Adam": (lambda g: torch.optim.Adam(g), ADAM_LIKE),
    "AdamW": (lambda g: torch.optim.AdamW(g, weight_decay=0.0), ADAM_LIKE),
    "NAdam": (lambda g: torch.optim.NAdam(g), ADAM_LIKE),
    "RMSprop": (lambda g: torch.optim.RMSprop(g), ADAM_LIKE),
    "Adagrad": (lambda g: torch.optim.Adagrad(g), ADAM_LIKE),
    "Lion": (lambda g: named("Lion")(g), ADAM_LIKE),
    "SGD": (lambda g: torch.optim.SGD(g), SGD),
    "SGD momentum": (lambda g: torch.optim.SGD(g, momentum=0.9), SGD),
    "LAMB": (lambda g: named("Lamb")(g), NORM_SCALED),
    "LARS": (lambda g: named("LARS")(g), NORM_SCALED),
}


def groups(model: MLP, exponents: tuple[float, float, float, float], lr: float = 1e-3) -> list[dict[str, Any]]:
    m = model.gain.numel() / BASE
    vectors = [model.embed.weight, model.embed.bias, model.hidden.bias, model.gain]
    members = (vectors, [model.hidden.weight], [model.head.weight], [model.head.bias])
    return [{"params": p, "lr": lr * m**e} for p, e in zip(members, exponents, strict=True)]


def audit(optimizer: Callable[[MLP], Any]) -> Report:
    return muaudit.check(
        MLP,
        batch=lambda width: X,
        loss=lambda out, batch: F.cross_entropy(out, torch.zeros(16, dtype=torch.long)),
        optimizer=optimizer,
        widths=(64, 128),
    )


@pytest.mark.parametrize("name", CASES)
def test_the_right_learning_rates_pass(name: str) -> None:
    make, exponents = CASES[name]
    report = audit(lambda model: make(groups(model, exponents)))
    zero_init_bias = {"embed.bias", "hidden.bias", "head.bias"}
    wrong = [v for v in report.violations if v.severity != "advice"]
    if name in ("LAMB", "LARS"):  # relative to a bias that starts at zero nothing can be said
        wrong = [v for v in wrong if not set(v.tensors) <= zero_init_bias]
    assert not wrong, [(v.rule, v.tensors, v.found, v.expected) for v in wrong]
    assert report.verdict == "mup"


@pytest.mark.parametrize("name", CASES)
def test_a_hidden_learning_rate_off_by_a_half_is_blamed_alone(name: str) -> None:
    make, exponents = CASES[name]
    wrong = (exponents[0], exponents[1] + 0.5, *exponents[2:])
    report = audit(lambda model: make(groups(model, wrong)))
    found = [(v.rule, v.tensors, v.found_exponent, v.expected_exponent) for v in report.violations]
    found = [f for f in found if f[0].startswith("MUP30")]
    assert found == [("MUP301", ("hidden.weight",), wrong[1], exponents[1])]


def test_an_unknown_optimizer_is_said_and_not_guessed() -> None:
    report = audit(lambda model: named("Frobnicate")(model.parameters()))
    assert {u.name for u in report.unanalysed} == {row.name for row in report.tensors}
    assert all("do not know the optimizer Frobnicate" in u.reason for u in report.unanalysed)
    assert report.verdict == "unknown"
    assert not [v for v in report.violations if v.rule.startswith("MUP3")]


def test_lr_scale_counts_where_it_is_not_applied_yet() -> None:
    def optimizer(model: MLP) -> torch.optim.Optimizer:
        scaled = groups(model, ADAM_LIKE)
        return torch.optim.Adam([{**g, "lr": 1e-3, "lr_scale": g["lr"] / 1e-3} for g in scaled])

    report = audit(optimizer)
    assert report.verdict == "mup"
    assert [(v.rule, v.severity, v.tensors) for v in report.violations] == [
        ("MUP308", "warning", ("hidden.weight", "head.weight"))
    ]


@pytest.mark.parametrize("base", [64, 32])
@pytest.mark.parametrize("several", [True, False])
def test_lr_scale_does_not_count_again_where_the_learning_rate_holds_it(base: int, several: bool) -> None:
    """At the base width, which may be a probe, every factor is 1 whether the learning rate holds it or not."""

    def optimizer(model: MLP) -> torch.optim.Optimizer:
        m = model.gain.numel() / base
        slow = [model.hidden.weight, model.head.weight]
        fast = [p for p in model.parameters() if all(p is not each for each in slow)]
        rest = [{"params": fast, "lr": 1e-3, "lr_scale": 1.0}]
        return torch.optim.Adam([{"params": slow, "lr": 1e-3 / m, "lr_scale": 1 / m}, *(rest if several else [])])

    found = {v.rule for v in audit(optimizer).violations}
    assert "MUP308" not in found
    assert not found & {"MUP301", "MUP303"}


def test_adafactor_is_judged_relative_to_the_parameter() -> None:
    """torch's Adafactor scales the step by max(eps2, rms of the parameter)."""
    report = audit(lambda model: torch.optim.Adafactor(groups(model, NORM_SCALED), weight_decay=0.0))
    wrong = [v for v in report.violations if v.severity != "advice"]
    assert not [v for v in wrong if v.tensors and not set(v.tensors) <= {"head.bias", "embed.bias"}]


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
@pytest.mark.parametrize(("mode", "right"), [("original", 0.0), ("match_rms_adamw", -0.5)])
def test_muon_needs_what_its_mode_leaves(mode: str, right: float) -> None:
    class Both(torch.optim.Optimizer):
        """Muon for the hidden matrix, AdamW for the rest, as trainers wrap them."""

        def __init__(self, model: MLP, exponent: float) -> None:
            m = model.gain.numel() / BASE
            rest = [g for g in groups(model, ADAM_LIKE) if g["params"][0] is not model.hidden.weight]
            muon = torch.optim.Muon([model.hidden.weight], lr=1e-2 * m**exponent, weight_decay=0.0, adjust_lr_fn=mode)
            self.optimizers = [muon, torch.optim.AdamW(rest, weight_decay=0.0)]
            super().__init__([{"params": list(model.parameters())}], {})

        def step(self, closure: Any = None) -> None: ...

    assert audit(lambda model: Both(model, right)).verdict == "mup"
    divided_again = audit(lambda model: Both(model, right - 1.0))
    assert [(v.rule, v.tensors) for v in divided_again.violations] == [("MUP313", ("hidden.weight",))]


def test_a_step_of_its_own_is_not_that_of_the_base_class() -> None:
    """Signs instead of gradients: an SGD by name of its base class alone."""

    class Signs(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    p.data -= group["lr"] * p.grad.sign()

    class Logged(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    assert audit(lambda model: Logged(groups(model, ADAM_LIKE), weight_decay=0.0)).verdict == "mup"
    assert audit(lambda model: Signs(groups(model, ADAM_LIKE))).verdict == "mup"
    report = audit(lambda model: Signs(groups(model, SGD)))
    assert {v.rule for v in report.violations if v.severity == "error"} == {"MUP314"}
