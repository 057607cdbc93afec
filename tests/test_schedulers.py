"""Schedulers that keep the groups' ratios pass, whatever drives them; what cannot be stepped is said."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from bugs.plant import FIXTURES, load

import muaudit
from muaudit.audit import audit as audited
from muaudit.convert.planner import make_plan
from muaudit.errors import UserError
from muaudit.findings.model import Report
from muaudit.plan.planned import planned
from muaudit.targets import from_functions
from muaudit.targets.schedulers import MOST_STEPS, stepper, walk
from muaudit.training.measure import measure
from muaudit.training.run_settings import RunSettings as CoordSettings

MODULE = load(FIXTURES / "bugs" / "schedule.py")
S = torch.optim.lr_scheduler


def audit(scheduler: Callable[[Any], Any], optimizer: Callable[[Any], Any] = MODULE.optimizer) -> Report:
    return muaudit.check(
        MODULE.build,
        batch=MODULE.batch,
        loss=MODULE.loss,
        optimizer=optimizer,
        scheduler=scheduler,
        widths=MODULE.widths,
    )


def shared(model: Any) -> torch.optim.Optimizer:
    """Groups that differ in a factor of the loop's own only."""
    m = model.width / MODULE.BASE
    matrices = [*(layer.weight for layer in model.hidden), model.readout.weight]
    vectors = [model.embed.weight, *(p for p in model.parameters() if p.dim() == 1)]
    return torch.optim.Adam([{"params": vectors, "factor": 1.0}, {"params": matrices, "factor": 1 / m}], lr=0.003)


def by_factor(optimizer: Any) -> Callable[[int], None]:
    def write(step: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = 0.003 * min(step / 10, 1.0) * group["factor"]

    return write


def warmed_cosine(step: int, *, warmup: int, total: int) -> float:
    return step / warmup if step < warmup else 0.5 * (1 + math.cos(math.pi * min(step / total, 1)))


def in_sequence(optimizer: Any) -> Any:
    parts = [S.LinearLR(optimizer, 0.1, total_iters=50), S.CosineAnnealingLR(optimizer, 500)]
    return S.SequentialLR(optimizer, parts, milestones=[50])


class Epochs:
    """A scheduler that is no torch class and is told the step, as timm's are; it applies `lr_scale` itself."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer, self.t_initial = optimizer, 90

    def step(self, epoch: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = 0.003 * (1 - epoch / 200) * group["factor"]


KEPT: dict[str, Callable[[Any], Any]] = {
    "cosine to zero": lambda o: S.CosineAnnealingLR(o, 300),
    "in sequence": in_sequence,
    "chained": lambda o: S.ChainedScheduler([S.ConstantLR(o, 0.5, 20), S.ExponentialLR(o, 0.99)]),
    "one maximum a group": lambda o: S.OneCycleLR(o, [g["lr"] for g in o.param_groups], total_steps=100),
    "partial, long": lambda o: S.LambdaLR(o, functools.partial(warmed_cosine, warmup=2000, total=1_000_000)),
    "Lightning": lambda o: {"scheduler": S.StepLR(o, 30), "interval": "step"},
    "plateau": lambda o: S.ReduceLROnPlateau(o, patience=3),
    "several": lambda o: [S.LinearLR(o, 0.1, total_iters=50)],
}


@pytest.mark.parametrize("name", KEPT)
def test_a_schedule_that_keeps_the_ratios_passes(name: str) -> None:
    report = audit(KEPT[name])
    assert not report.violations, [v.message for v in report.violations]
    assert report.verdict == "mup"


@pytest.mark.parametrize("scheduler", [by_factor, Epochs])
def test_a_scheduler_that_sets_the_groups_apart_counts(scheduler: Callable[[Any], Any]) -> None:
    assert audit(scheduler, shared).verdict == "mup"
    left_out = audit(lambda o: S.StepLR(o, 30), shared).violations
    assert [(v.rule, v.severity) for v in left_out] == [("MUP308", "error")]


def test_the_floor_of_a_plateau_is_seen() -> None:
    (found,) = audit(lambda o: S.ReduceLROnPlateau(o, patience=0, min_lr=1e-3)).violations
    assert (found.rule, found.severity) == ("MUP307", "warning")
    assert "ReduceLROnPlateau at its floor" in found.message


def test_the_floor_of_a_long_schedule_is_reached() -> None:
    (found,) = audit(lambda o: S.CosineAnnealingLR(o, 50 * MOST_STEPS, eta_min=1e-5)).violations
    assert (found.rule, found.found_exponent, found.expected_exponent) == ("MUP307", 0.0, -1.0)


def test_the_optimizers_are_left_as_they_were() -> None:
    optimizer = MODULE.optimizer(MODULE.build(64))
    before = [dict(group) for group in optimizer.param_groups]
    walk(lambda o: S.StepLR(o, 3), [optimizer])
    kept = [{key: group[key] for key in old} for group, old in zip(optimizer.param_groups, before, strict=True)]
    assert kept == before


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (lambda o: None, "returned NoneType, which cannot be stepped"),
        (lambda o: SimpleNamespace(), "returned SimpleNamespace, which cannot be stepped"),
        (lambda o: lambda step: 0.1, "returns a learning rate"),
        (lambda o: o.nonsense, r"scheduler\(optimizer\) raised AttributeError"),
    ],
)
def test_what_cannot_be_stepped_is_said(scheduler: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        audit(scheduler)


class Lightning(MODULE.MLP):  # type: ignore[name-defined,misc]
    """A model that sets up its own optimizer and scheduler; subclasses choose how the latter is written."""

    def configure_optimizers(self) -> Any:
        optimizer = MODULE.optimizer(self)
        warmed = S.LambdaLR(optimizer, lambda step: min(step / 20, 1.0))  # a learning rate of 0 at first
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": warmed, "interval": "step"}}


class Floored(Lightning):
    def configure_optimizers(self) -> Any:
        optimizer = MODULE.optimizer(self)
        return [optimizer], [S.CosineAnnealingLR(optimizer, 50, eta_min=3e-4)]


def _decayed(optimizer: Any) -> Any:
    return S.LambdaLR(optimizer, lambda step: 1 / (1 + step))


FORMS: dict[str, Callable[[Any], Any]] = {
    "optimizer": lambda o: o,
    "list of one": lambda o: [o],
    "two lists": lambda o: ([o], [_decayed(o)]),
    "two lists with settings": lambda o: ([o], [{"scheduler": _decayed(o), "interval": "step"}]),
    "dict": lambda o: {"optimizer": o, "lr_scheduler": _decayed(o)},
    "dict with settings": lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": _decayed(o), "frequency": 1}},
    "dict alone": lambda o: {"optimizer": o},
    "tuple of dicts": lambda o: ({"optimizer": o, "lr_scheduler": _decayed(o)},),
    "pair": lambda o: (o, _decayed(o)),
    "pair with something else": lambda o: (o, True),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_configure_optimizers_works_everywhere(form: str, tmp_path: Any) -> None:
    """check, convert and the audit of what it makes, a coordinate check, a sweep with the model's own schedule."""

    class Net(MODULE.MLP):  # type: ignore[name-defined,misc]
        def configure_optimizers(self) -> Any:
            return FORMS[form](torch.optim.Adam(self.parameters(), lr=1e-2))

    target = from_functions(Net, batch=MODULE.batch, loss=MODULE.loss, widths=MODULE.widths)
    assert target.optimizer_source == "model method configure_optimizers"
    brings = form not in ("optimizer", "list of one", "dict alone", "pair with something else")
    assert (target.scheduler is not None) == brings
    assert {v.rule for v in audited(target).violations if v.severity == "error"} >= {"MUP301"}
    converted = planned(target, make_plan(target, 64, 128))
    assert audited(converted).count("error") == 0
    assert measure(target, CoordSettings((64, 128), steps=1, seeds=1)).activations
    if brings:
        for each in (target, converted):
            sizes = {"width": 128}
            optimizer = each.optimizer(each.build(sizes, 0), sizes)
            built = [group["lr"] for group in optimizer.param_groups]
            assert each.scheduler is not None
            step = stepper(each.scheduler, optimizer)
            step()
            assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([lr / 2 for lr in built])
            assert len(set(built)) == (1 if each is target else 2)


def test_a_schedule_follows_rates_that_are_set_after_it_was_made() -> None:
    """A sweep sets the learning rate on the optimizer; the scheduler keeps what it started from."""
    target = from_functions(Lightning, batch=MODULE.batch, loss=MODULE.loss, widths=MODULE.widths)
    sizes = target.sizes(0)
    optimizer = target.optimizer(target.build(sizes, 0), sizes)
    for group in optimizer.param_groups:
        group["lr"] *= 3
    wanted = [group["lr"] / 20 for group in optimizer.param_groups]
    assert target.scheduler is not None
    stepper(target.scheduler, optimizer)()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(wanted)


def test_a_plan_keeps_what_its_scheduler_writes_by_itself() -> None:
    """An absolute floor undoes the plan's rates, as it would in training; a lambda a group goes with its group."""
    target = from_functions(Floored, batch=MODULE.batch, loss=MODULE.loss, widths=MODULE.widths)
    found = audited(planned(target, make_plan(target, 64, 128))).violations
    assert [v.rule for v in found if v.severity != "advice"] == ["MUP307"]

    class ByGroup(MODULE.MLP):  # type: ignore[name-defined,misc]
        def configure_optimizers(self) -> Any:
            matrices = [p for p in self.parameters() if p.dim() > 1]
            vectors = [p for p in self.parameters() if p.dim() == 1]
            optimizer = torch.optim.Adam([{"params": vectors}, {"params": matrices}], lr=1e-2)
            return [optimizer], [S.LambdaLR(optimizer, [lambda step: 0.5, lambda step: 0.25])]

    target = from_functions(ByGroup, batch=MODULE.batch, loss=MODULE.loss, widths=MODULE.widths)
    converted = planned(target, make_plan(target, 64, 128))
    sizes = converted.sizes(1)
    model = converted.build(sizes, 0)
    optimizer = converted.optimizer(model, sizes)
    built = [group["lr"] for group in optimizer.param_groups]
    assert converted.scheduler is not None
    stepper(converted.scheduler, optimizer)()
    for group, lr in zip(optimizer.param_groups, built, strict=True):
        vectors = all(p.dim() == 1 for p in group["params"])
        assert group["lr"] == pytest.approx(lr * (0.5 if vectors else 0.25))


def test_a_scheduler_that_comes_with_the_models_optimizer() -> None:
    reports = [
        muaudit.check(build, batch=MODULE.batch, loss=MODULE.loss, widths=MODULE.widths)
        for build in (Lightning, Floored)
    ]
    assert not reports[0].violations
    assert reports[0].verdict == "mup"
    assert [v.rule for v in reports[1].violations] == ["MUP307"]
    assert "CosineAnnealingLR at its floor" in reports[1].violations[0].message
