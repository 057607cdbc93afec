"""Published implementations of µP, as their authors ship them: what differs from µP is found, and nothing else.

What is expected is read off their sources by hand; each stands in the docstring of its fixture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from bugs.plant import FIXTURES, fixture, load

import muaudit
from muaudit.audit import audit
from muaudit.audit.over_depth import audit_over_depth
from muaudit.convert.planner import make_plan
from muaudit.findings.model import Report
from muaudit.plan.planned import planned
from muaudit.targets import from_functions, resolve
from muaudit.targets.options import TargetOptions

BASE = 64
PACKAGES = {"mamba": "mambapy", "unit_scaled": "unit_scaling"}


def check(name: str, build: Callable[..., Any] | None = None, optimizer: Callable[..., Any] | None = None) -> Report:
    pytest.importorskip(PACKAGES[name])
    own = fixture(f"published/{name}")
    return muaudit.check(
        build or own.build, batch=own.batch, loss=own.loss, optimizer=optimizer or own.optimizer, widths=own.widths
    )


def errors(report: Report) -> list[tuple[str, float, float]]:
    assert not report.unanalysed
    return [(v.rule, v.found_exponent, v.expected_exponent) for v in report.violations if v.severity == "error"]


def test_mamba_counts_the_fan_in_of_its_step_size_twice() -> None:
    report = check("mamba")
    assert errors(report) == [("MUP101", -1.0, -0.5)]
    assert all(name.endswith("mixer.dt_proj.weight") for v in report.violations[:1] for name in v.tensors)


def test_mamba_is_right_once_it_is_counted_once() -> None:
    pytest.importorskip("mambapy")
    own = fixture("published/mamba")

    def build(width: int) -> Any:
        model = own.build(width)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.mul_(math.sqrt(width / BASE) if name.endswith("dt_proj.weight") else 1.0)
        return model

    report = check("mamba", build)
    assert (report.verdict, errors(report)) == ("mup", [])


def test_the_embedding_of_unit_scaling_learns_by_a_rule_of_its_own() -> None:
    report = check("unit_scaled")
    assert errors(report) == [("MUP302", -0.5, 0.0)]
    assert report.violations[0].tensors == ("embedding.weight",)


def test_unit_scaling_is_right_where_its_embedding_learns_like_any_other() -> None:
    pytest.importorskip("unit_scaling")
    own = fixture("published/unit_scaled")

    def optimizer(model: Any) -> torch.optim.Optimizer:
        made = own.optimizer(model)
        (group,) = [g for g in made.param_groups if any(p is model.embedding.weight for p in g["params"])]
        group["lr"] *= math.sqrt(model.embedding.weight.shape[1])
        return made  # type: ignore[no-any-return]

    report = check("unit_scaled", optimizer=optimizer)
    assert (report.verdict, errors(report)) == ("mup", [])


def test_a_plan_holds_for_an_optimizer_that_scales_by_width_itself() -> None:
    pytest.importorskip("unit_scaling")
    target = resolve(str(fixture("published/unit_scaled").path), TargetOptions())
    plan = make_plan(target, 64, 128)
    report = audit(planned(target, plan))
    assert (report.verdict, errors(report)) == ("mup", [])


def over_depth(alpha: float, optimizer: Callable[..., Any] | None = None) -> list[tuple[str, frozenset[str]]]:
    """Rules, and the last part of the names of what they blame, for the published groups of CompleteP."""
    own = load(FIXTURES / "published" / "completep.py")

    def build(width: int, depth: int = 2) -> Any:
        return own.GPT(own.GPTConfig(n_layer=depth, n_embd=width, depth_alpha_exp=alpha))

    target = from_functions(
        build, batch=own.batch, loss=own.loss, optimizer=optimizer or own.optimizer, widths=own.widths,
        depths=own.depths,
    )  # fmt: skip
    report = audit_over_depth(target, profile="completep" if alpha == 1 else "depth-mup")
    assert report.unanalysed == ()
    return [(v.rule, frozenset(name.rpartition(".")[2] for name in v.tensors)) for v in report.violations]


def test_the_published_groups_of_completep_are_right_over_depth() -> None:
    """EleutherAI/nanoGPT-mup, model.py, configure_optimizers."""
    assert over_depth(1.0) == []


def test_with_half_of_it_their_decay_is_not_made_up_for() -> None:
    """Rates inside of blocks fall like m_L^-1/2, and weight decay is divided by the factor of width alone."""
    assert over_depth(0.5) == [("MUP712", frozenset({"weight"}))]


def test_biases_that_were_left_among_the_others_are_told() -> None:
    """What other implementations of the same groups do: biases and gains of blocks keep the rate of the embedding."""
    own = load(FIXTURES / "published" / "completep.py")

    def optimizer(model: Any) -> torch.optim.Optimizer:
        made = own.optimizer(model, weight_decay=0.0)
        for group in made.param_groups:
            if all(p.dim() == 1 for p in group["params"]):
                group["lr_scale"] = 1.0
        return made  # type: ignore[no-any-return]

    ((rule, names),) = over_depth(0.5, optimizer)
    assert (rule, "bias" in names) == ("MUP704", True)
    assert over_depth(1.0, optimizer) == []


def test_over_width_they_are_right_with_a_training_loop_that_reads_their_factors() -> None:
    own = load(FIXTURES / "published" / "completep.py")
    report = muaudit.check(own.build, batch=own.batch, loss=own.loss, optimizer=own.optimizer, widths=own.widths)
    assert [(v.rule, v.severity) for v in report.violations] == [("MUP308", "warning")]
