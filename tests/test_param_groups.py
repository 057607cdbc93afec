"""What the param groups hold when the model is trained: parameters in none of them, and rates of a warm-up."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_optimizers import ADAM_LIKE, MLP, SGD, audit, groups

from muaudit.findings.model import Report

S = torch.optim.lr_scheduler


def without(*names: str) -> Report:
    def optimizer(model: MLP) -> torch.optim.Optimizer:
        left = {id(model.get_parameter(name)) for name in names}
        made = groups(model, ADAM_LIKE)
        for group in made:
            group["params"] = [p for p in group["params"] if id(p) not in left]
        return torch.optim.Adam([group for group in made if group["params"]])

    return audit(optimizer)


@pytest.mark.parametrize(
    ("names", "severities"),
    [
        (("head.weight",), {"error"}),
        (("embed.weight",), {"error"}),
        (("hidden.weight", "gain"), {"warning"}),
        (("hidden.bias", "head.weight"), {"warning", "error"}),
    ],
)
def test_what_no_group_holds_is_said(names: tuple[str, ...], severities: set[str]) -> None:
    report = without(*names)
    found = [v for v in report.violations if v.rule == "MUP406"]
    assert {name for v in found for name in v.tensors} == set(names)
    assert {v.severity for v in found} == severities
    assert [v.rule for v in report.violations if v.severity != "advice"] == ["MUP406"] * len(found)


def test_what_is_frozen_may_be_in_no_group() -> None:
    class Frozen(MLP):
        def __init__(self, width: int) -> None:
            super().__init__(width)
            self.embed.requires_grad_(False)

    from test_optimizers import X

    from muaudit import check

    report = check(
        Frozen, batch=lambda width: X, loss=lambda out, batch: out.square().mean(), widths=(64, 128),
        optimizer=lambda model: torch.optim.Adam(
            [{**g, "params": p} for g in groups(model, ADAM_LIKE) if (p := [q for q in g["params"] if q.requires_grad])]
        ),
    )  # fmt: skip
    assert "MUP406" not in {v.rule for v in report.violations}


def warmed(model: MLP, exponents: tuple[float, float, float, float] = ADAM_LIKE) -> torch.optim.Optimizer:
    """The schedule is made with the optimizer and kept elsewhere: at step 0 all rates are 0."""
    optimizer = torch.optim.Adam(groups(model, exponents))
    model.schedule = S.LambdaLR(optimizer, lambda step: min(step / 10, 1.0))  # type: ignore[assignment]
    assert all(group["lr"] == 0 for group in optimizer.param_groups)
    return optimizer


def test_rates_that_a_warm_up_holds_at_zero_are_read_beside_it() -> None:
    assert audit(warmed).verdict == "mup"
    report = audit(lambda model: warmed(model, (0.0, -0.5, -1.0, 0.0)))
    found = [(v.rule, v.found_exponent) for v in report.violations if v.severity == "error"]
    assert found == [("MUP301", -0.5)]


def test_rates_of_zero_without_any_beside_them_are_said() -> None:
    def optimizer(model: MLP) -> Any:
        return torch.optim.Adam([{**group, "lr": 0.0} for group in groups(model, ADAM_LIKE)])

    report = audit(optimizer)
    assert report.verdict == "unknown"
    assert all("its learning rate is 0 where the optimizer is made" in u.reason for u in report.unanalysed)


def test_settings_that_change_with_width_are_told() -> None:
    def optimizer(model: MLP) -> torch.optim.Optimizer:
        m = model.gain.numel() / 64
        made = groups(model, ADAM_LIKE)
        made[1]["betas"] = (0.9, 1 - 0.05 / m)
        return torch.optim.Adam(made, betas=(0.9, 0.95))

    report = audit(optimizer)
    (found,) = [v for v in report.violations if v.severity != "advice"]
    assert (found.rule, found.severity, found.tensors) == ("MUP315", "warning", ("hidden.weight",))
    assert found.found_exponent == pytest.approx(-1.0)
    assert "betas[1] of hidden.weight changes with width (0.95 → 0.975, ∝ n^-1)" in found.message


def test_the_first_steps_of_a_rectified_optimizer_are_held_against_the_law_of_momentum() -> None:
    """TP5 Table 3: gradients of hidden weights and of vectors shrink like 1/n, and those of the readout stay."""
    report = audit(lambda model: torch.optim.RAdam(groups(model, ADAM_LIKE)))
    (found,) = [v for v in report.violations if v.rule == "MUP316"]
    shrink = {"hidden.weight", "embed.weight", "embed.bias", "hidden.bias", "gain"}
    assert (found.severity, set(found.tensors)) == ("advice", shrink)
    assert "by n^-1 times" in found.message
    assert report.verdict == "mup"


def test_settings_that_differ_between_groups_alone_are_fine() -> None:
    def optimizer(model: MLP) -> torch.optim.Optimizer:
        made = groups(model, SGD)
        made[1]["momentum"] = 0.5
        return torch.optim.SGD(made, momentum=0.9)

    assert not [v for v in audit(optimizer).violations if v.severity != "advice"]
