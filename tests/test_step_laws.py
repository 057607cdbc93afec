"""Step laws against real steps of torch's optimizers, and what else is said once about each of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_optimizers import ADAM_LIKE, MLP, NORM_SCALED, SGD, X, audit, groups

from muaudit.audit import audit as audited
from muaudit.convert.planner import make_plan
from muaudit.optimizers import Law, families, family_of, known, law_of, member, named, state_power, torch_classes
from muaudit.optimizers.orthogonal import adjustment
from muaudit.optimizers.steps import Steps
from muaudit.plan.planned import planned
from muaudit.targets import from_functions
from muaudit.training.measure import measure
from muaudit.training.run_settings import RunSettings

EXPONENTS = st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0])
TWO = (64, 256)


def change(make: Any, width: int, *, gradient: float = 1.0, size: float = 1.0, steps: int = 8) -> float:
    """Root mean square of the last of some steps of a (width, width) matrix along one gradient of rank one."""
    torch.manual_seed(0)
    weight = torch.nn.Parameter(size * torch.randn(width, width))
    optimizer = make([weight])
    direction = torch.outer(torch.randn(width), torch.randn(width))
    direction *= gradient / direction.square().mean().sqrt()
    for _ in range(steps):
        before = weight.detach().clone()
        weight.grad = direction.clone()
        optimizer.step()
    return float((weight.detach() - before).square().mean().sqrt())


MADE = {option: (cls, extra) for option, (cls, extra) in torch_classes().items() if option != "adadelta"}


@pytest.mark.parametrize("option", MADE)
def test_the_law_of_a_family_is_what_torch_does(option: str) -> None:
    """How a step follows the gradient's size, the parameter's size and the shape, measured on real steps."""
    cls, extra = MADE[option]
    if not hasattr(torch.optim, cls):
        pytest.skip(f"this torch has no {cls}")

    def make(params: Any) -> torch.optim.Optimizer:
        optimizer = getattr(torch.optim, cls)(params, lr=1e-3, **extra)
        for group in optimizer.param_groups:
            group["weight_decay"] = 0.0
        return optimizer  # type: ignore[no-any-return]

    found = named(cls)
    assert found is not None
    law = found[0].law
    assert law is not None
    plain = change(make, TWO[0])
    by_gradient = math.log(change(make, TWO[0], gradient=4.0) / plain) / math.log(4)
    by_size = math.log(change(make, TWO[0], size=4.0) / plain) / math.log(4)
    by_width = math.log(change(make, TWO[1]) / plain) / math.log(4)
    assert by_gradient == pytest.approx(law.gradient, abs=0.05)
    assert by_size == pytest.approx(law.size, abs=0.05)
    shape = law.step(0.0, 0.0, 0.0, (1.0, 1.0), adjustment("original", (1.0, 1.0)))
    assert by_width == pytest.approx(shape, abs=0.05)


@settings(deadline=None)
@given(EXPONENTS, EXPONENTS, EXPONENTS, st.lists(EXPONENTS, max_size=3), EXPONENTS, st.sampled_from([*families()]))
def test_a_rate_gives_the_step_that_it_was_asked_for(
    step: float, gradient: float, size: float, dims: list[float], factor: float, family: str
) -> None:
    law = law_of(family)
    rate = law.rate(step, gradient, size, dims, factor)
    assert law.step(rate, gradient, size, dims, factor) == pytest.approx(step)


@settings(deadline=None)
@given(st.sampled_from([*families()]), EXPONENTS)
def test_a_gauge_moves_rates_as_its_lemma_says(family: str, theta: float) -> None:
    """TP5 Lemma J.1: with a multiplier θ, parameter and steps are θ times smaller, the gradient θ times larger."""
    law = law_of(family)
    moved = law.rate(-1.0 - theta, 0.5 + theta, -0.5 - theta, (1.0, 1.0))
    assert moved == pytest.approx(law.rate(-1.0, 0.5, -0.5, (1.0, 1.0)) - law.gauge * theta)


def test_zero_to_the_power_of_nothing_is_no_number_to_worry_about() -> None:
    assert Law().step(0.0, -math.inf, -math.inf, ()) == 0.0


def test_no_class_belongs_to_two_families() -> None:
    names = [name for family in families().values() for each in family.members for name in each.names]
    assert len(names) == len(set(names))


def test_every_state_of_torch_is_known() -> None:
    """Every tensor that an optimizer of torch keeps has the power of the gradient in which it is held."""
    for cls, extra in torch_classes().values():
        if not hasattr(torch.optim, cls) or cls == "Adadelta":  # which follows no one law
            continue
        weight = torch.nn.Parameter(torch.ones(4, 4))
        optimizer = getattr(torch.optim, cls)([weight], lr=1e-3, **extra)
        weight.grad = torch.ones(4, 4)
        optimizer.step()
        kept = {key for key, value in optimizer.state[weight].items() if value is not None}
        assert kept <= set(member(cls).state), cls


def test_adafactor_is_called_by_its_name_and_lars_is_not_lamb() -> None:
    wrong = (0.0, 0.0, 0.0, 0.0)
    report = audit(lambda model: torch.optim.Adafactor(groups(model, wrong), weight_decay=0.0))
    (found,) = [v for v in report.violations if "hidden.weight" in v.tensors]
    assert "adafactor learning rate" in found.message
    assert {families()[name].law for name in ("lamb", "lars", "adafactor")} == {Law(size=1.0)}


def test_adafactor_without_parameter_scaling_is_adam_like() -> None:
    cls = type("Adafactor", (torch.optim.Optimizer,), {"step": lambda self: None})
    for scaled, family in ((True, "adafactor"), (False, "adam")):
        optimizer = cls([torch.nn.Parameter(torch.ones(2))], {"lr": 1e-3, "scale_parameter": scaled})
        assert family_of(optimizer) == family


def test_a_plan_for_relative_steps_is_relative_to_the_init_that_it_makes() -> None:
    """A readout from n^-1/2 to n^-1 keeps its relative rate: λ = ideal step − init = −1 − (−1)."""

    class Standard(MLP):
        def __init__(self, width: int) -> None:
            super().__init__(width)
            torch.nn.init.normal_(self.head.weight, std=width**-0.5)

    target = from_functions(
        Standard, batch=lambda width: X, widths=(64, 128),
        loss=lambda out, batch: torch.nn.functional.cross_entropy(out, torch.zeros(16, dtype=torch.long)),
        optimizer=lambda model: torch.optim.Adafactor(model.parameters(), lr=1e-2, weight_decay=0.0),
    )  # fmt: skip
    plan = make_plan(target, 64, 256)
    found = {e.pattern: (e.init, e.lr) for e in plan.entries}
    assert found["hidden.weight"] == (0.0, NORM_SCALED[1])
    assert found["head.weight"] == (-0.5, NORM_SCALED[2])
    report = audited(planned(target, plan))
    wrong = [v for v in report.violations if v.severity != "advice"]
    assert not [v for v in wrong if {"hidden.weight", "head.weight"} & set(v.tensors)]


def test_a_subclass_is_what_its_base_class_is_whoever_was_made_first() -> None:
    """torch writes the base class's step into every class that it makes an instance of."""

    class NAdam(torch.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 1e-3})

        def step(self, closure: Any = None) -> None: ...

    class Ours(NAdam):
        pass

    class Theirs(Ours):
        def __init__(self, params: Any, *, fused: bool | None = None) -> None:
            super().__init__(params)

    for cls in (Theirs, Ours):
        assert "step" not in cls.__dict__
        optimizer = cls([torch.nn.Parameter(torch.ones(2))])
        assert "step" in cls.__dict__
        found = known(optimizer)
        assert found is not None
        assert found[1].torch == "NAdam"


class AdamWScheduleFree(torch.optim.Optimizer):
    """Schedule-free AdamW as its paper has it (arXiv 2405.15682, Algorithm 1), in training mode only once told so."""

    def __init__(self, params: Any, lr: float = 1e-3) -> None:
        super().__init__(params, {"lr": lr, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0})
        self.training = False

    def train(self) -> None:
        self.training = True

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        assert self.training, "call train() first"
        for group in self.param_groups:
            beta, beta2 = group["betas"]
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state.update(step=0, z=p.clone(), x=p.clone(), exp_avg_sq=torch.zeros_like(p))
                state["step"] += 1
                state["exp_avg_sq"].lerp_(p.grad.square(), 1 - beta2)
                scale = (state["exp_avg_sq"] / (1 - beta2 ** state["step"])).sqrt() + group["eps"]
                state["z"].sub_(group["lr"] * p.grad / scale)
                state["x"].lerp_(state["z"], 1 / state["step"])
                p.copy_(state["z"].lerp(state["x"], beta))


def test_one_file_adds_an_optimizer() -> None:
    """Its name, its steps and what its state follows are known from `families/schedule_free.py` alone."""
    weight = torch.nn.Parameter(torch.randn(64, 64))
    optimizer = AdamWScheduleFree([weight])
    how = Steps(optimizer, math.log(2)).of(0, ((64, 64), (128, 128)), (1.0, 1.0))
    assert (how.family, how.law) == ("schedule-free adam", Law())
    assert state_power("adamwschedulefree", "z") == -1
    assert state_power("adamwschedulefree", "exp_avg_sq") == 2
    assert audit(lambda model: AdamWScheduleFree(groups(model, ADAM_LIKE))).verdict == "mup"
    wrong = audit(lambda model: AdamWScheduleFree(groups(model, SGD))).violations
    assert any("schedule-free adam learning rate" in v.message for v in wrong if "hidden.weight" in v.tensors)


def test_an_optimizer_that_has_modes_is_trained_in_its_training_mode() -> None:
    target = from_functions(
        MLP, batch=lambda width: X, widths=(64, 128), optimizer=lambda model: AdamWScheduleFree(model.parameters()),
        loss=lambda out, batch: torch.nn.functional.cross_entropy(out, torch.zeros(16, dtype=torch.long)),
    )  # fmt: skip
    assert measure(target, RunSettings((64, 128), steps=1, seeds=1)).activations
