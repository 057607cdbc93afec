"""Plans for several optimizers at once, a user's own groups, schedulers, and weight decay by profile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from bugs.plant import FIXTURES, load
from test_convert import AT_256, BASE, losses, target_of
from test_convert_emit import same
from torch import nn

import muaudit
from muaudit.audit import audit
from muaudit.convert.planner import make_plan, make_plans
from muaudit.convert.python_module import module_text
from muaudit.errors import UserError
from muaudit.parametrizations.profiles import PROFILES, TP5
from muaudit.plan.file import write_plan
from muaudit.plan.planned import planned
from muaudit.plan.scales import FORMULATIONS
from muaudit.targets import Target, from_functions

WIDTH = 256
MODES = {"original": 0.0, "match_rms_adamw": -0.5}  # exponents of Muon's lr on hidden weights (DESIGN 3.6)


def in_standard(folder: Path) -> Any:
    """The perceptron for Muon and AdamW without any of its µP: flat hidden init, no readout multiplier."""
    text = (FIXTURES / "bugs" / "muon.py").read_text()
    for old, new in (("width / BASE", "1.0"), ("std=layer.in_features**-0.5", "std=0.05")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "muon.py").write_text(text)
    return load(folder / "muon.py")


def muon_target(module: Any, optimizer: Callable[[nn.Module], Any] | None = None) -> Target:
    return from_functions(
        module.build, batch=module.batch, loss=module.loss, optimizer=optimizer or module.optimizer, widths=(64, 128)
    )


def exponents(plan: muaudit.Plan) -> dict[str, tuple[str, float, float]]:
    return {e.pattern: (e.optimizer, e.init, e.lr) for e in plan.entries}


@pytest.mark.parametrize("mode", MODES)
def test_muon_and_adamw(mode: str, tmp_path: Path) -> None:
    """Muon's hidden lr by its scale mode and never 1/m besides; AdamW's readout 1/m, embedding 1."""
    module = in_standard(tmp_path)

    def optimizer(model: Any) -> list[torch.optim.Optimizer]:
        hidden, others = (each.param_groups[0]["params"] for each in module.optimizer(model))
        return [torch.optim.Muon(hidden, lr=0.02, adjust_lr_fn=mode), torch.optim.AdamW(others, lr=0.003)]

    target = muon_target(module, optimizer)
    assert audit(target).count("error")
    plans = make_plans(target, BASE, WIDTH, FORMULATIONS)
    for plan in plans:
        report = audit(planned(target, plan))
        assert (report.verdict, report.count("error"), report.unanalysed) == ("mup", 0, ()), plan.formulation
    plan = plans[0]
    assert (plan.optimizer, plan.optimizers) == ("muon+adamw", ("adamw", "muon"))
    assert exponents(plan) == {
        "embed.weight": ("adamw", 0.0, 0.0),
        "up.*.weight": ("muon", -0.5, MODES[mode]),
        "down.*.weight": ("muon", -0.5, MODES[mode]),
        "readout.weight": ("adamw", 0.0, -1.0),
    }
    write_plan(plan, tmp_path / "plan.yaml")
    assert muaudit.load_plan(tmp_path / "plan.yaml") == plan


def test_groups_of_one_of_several_optimizers(tmp_path: Path) -> None:
    module = in_standard(tmp_path)
    plan = make_plan(muon_target(module), BASE, WIDTH)
    model = plan.apply_(module.build(WIDTH))
    muon = plan.param_groups(model, optimizer="muon", lr=0.02, weight_decay=0.1)
    adamw = plan.param_groups(model, optimizer="AdamW", lr=0.003)
    assert [(g["lr"], g["weight_decay"], len(g["params"]), "eps" in g) for g in muon] == [(0.02, 0.1, 4, False)]
    assert [(g["lr"], g["eps"]) for g in adamw] == [(0.003, 1e-8 / 4), (0.003 / 4, 1e-8)]
    torch.optim.Muon([dict(group) for group in muon])
    torch.optim.AdamW([dict(group) for group in adamw])
    with pytest.raises(UserError, match="several ways to train, adamw and muon: whose groups"):
        plan.param_groups(model, lr=0.1)
    with pytest.raises(UserError, match="not for the optimizer 'sgd'\nit is for adamw and muon"):
        plan.param_groups(model, lr=0.1, optimizer="sgd")
    (tmp_path / "emitted.py").write_text(module_text(plan, "emitted"))
    emitted = load(tmp_path / "emitted.py")
    assert same(muon, emitted.param_groups(model, 0.02, 0.1, optimizer="muon"), model, model)
    assert same(adamw, emitted.param_groups(model, 0.003, optimizer="adamw"), model, model)
    with pytest.raises(ValueError, match="not for the optimizer 'sgd'"):
        emitted.param_groups(model, 0.1, optimizer="sgd")


def test_one_class_that_trains_in_two_ways(tmp_path: Path) -> None:
    """As Keller Jordan's: its groups say which method is theirs, so a user's groups are refined.

    The scale mode is a setting here: where neither that nor the source tells, nothing is guessed.
    """

    class MuonWithAuxAdam(torch.optim.Optimizer):
        def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
            super().__init__(groups, {})

    def optimizer(model: Any) -> torch.optim.Optimizer:
        hidden, others = (each.param_groups[0]["params"] for each in module.optimizer(model))
        return MuonWithAuxAdam(
            [
                {"params": hidden, "use_muon": True, "adjust_lr_fn": "original", "lr": 0.02},
                {"params": others, "use_muon": False, "lr": 0.003},
            ]
        )

    module = in_standard(tmp_path)
    target = muon_target(module, optimizer)
    plan = make_plan(target, BASE, WIDTH)
    assert (plan.optimizer, plan.optimizers) == ("muonwithauxadam", ("adam", "muon"))
    report = audit(planned(target, plan))
    assert (report.count("error"), report.unanalysed) == (0, ())
    model = plan.apply_(module.build(WIDTH))
    groups = plan.refine(model, optimizer(model).param_groups)
    assert [(g["use_muon"], g["lr"]) for g in groups] == [(True, 0.02), (False, 0.003), (False, 0.003 / 4)]


def test_a_target_that_trains_otherwise_is_refused(tmp_path: Path) -> None:
    module = in_standard(tmp_path)
    plan = make_plan(muon_target(module), BASE, WIDTH)
    other = muon_target(module, lambda model: torch.optim.AdamW(model.parameters()))
    with pytest.raises(UserError, match=r"plan is for muon\+adamw, the target trains with adamw"):
        audit(planned(other, plan))


def test_muon_state_moves_along(tmp_path: Path) -> None:
    """From Table 9 to absorbed in the middle of a run of two optimizers: the losses go on as they would have."""
    module = in_standard(tmp_path)
    target = muon_target(module)
    old, new = make_plans(target, BASE, WIDTH, ["table9", "absorbed"])

    def start() -> tuple[nn.Module, list[torch.optim.Optimizer]]:
        model = old.apply_(target.build({"width": WIDTH}, 0))
        adamw = old.param_groups(model, optimizer="adamw", lr=0.003, eps=1e-30)
        return model, [
            torch.optim.Muon(old.param_groups(model, optimizer="muon", lr=0.02)),
            torch.optim.AdamW(adamw),
        ]

    class Both:
        def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
            self.parts = parts

        def step(self) -> None:
            for part in self.parts:
                part.step()

        def zero_grad(self) -> None:
            for part in self.parts:
                part.zero_grad()

    model, both = start()
    want = losses(target, model, Both(both), 8, WIDTH)  # type: ignore[arg-type]
    model, both = start()
    found = losses(target, model, Both(both), 4, WIDTH)  # type: ignore[arg-type]
    old.move_(model, both, to=new)
    found += losses(target, model, Both(both), 4, WIDTH)  # type: ignore[arg-type]
    assert found == pytest.approx(want, rel=1e-4)
    assert want[-1] < 0.8 * want[0]


# -- groups and schedulers ------------------------------------------------------------------------------------
def test_decay_and_layerwise_groups_are_refined_not_replaced() -> None:
    """Every tensor's lr is what its own group says times its own scale; other entries of a group are kept."""
    target = target_of("gpt", "adamw")
    plan = make_plan(target, BASE, WIDTH)
    model = plan.apply_(target.build(AT_256, 0))
    own = [
        {"params": [p], "lr": 0.1 * 0.8**number, "weight_decay": 0.0 if p.dim() < 2 else 0.1, "betas": (0.8, 0.9)}
        for number, p in enumerate(model.parameters())
    ]
    groups = plan.refine(model, own)
    assert len(groups) == len(own)
    names = {id(p): name for name, p in model.named_parameters()}
    for before, after in zip(own, groups, strict=True):
        (parameter,) = after["params"]
        entry = plan.entry([names[id(parameter)]])
        assert entry is not None
        assert after["lr"] == before["lr"] * plan.scale(entry.lr)
        assert after["weight_decay"] == before["weight_decay"] * plan.scale(entry.weight_decay)
        assert after["betas"] == (0.8, 0.9)
    torch.optim.AdamW(groups)


def test_groups_as_torch_takes_them() -> None:
    target = target_of("mlp", "adamw")
    plan = make_plan(target, BASE, WIDTH)
    model = target.build(AT_256, 0)
    made = torch.optim.AdamW(model.named_parameters(), lr=0.1)
    for groups in (
        [{"params": list(model.named_parameters()), "lr": 0.1}],
        [{"params": model.parameters(), "lr": 0.1}],
        made.param_groups,
    ):
        refined = plan.refine(model, groups)
        assert sorted(round(g["lr"], 6) for g in refined) == [0.025, 0.025, 0.1, 0.1]
        torch.optim.AdamW(refined)
    other = target.build(AT_256, 0)
    with pytest.raises(UserError, match="group 1 has 1 parameters that are not the model's"):
        plan.refine(model, [{"params": [], "lr": 1.0}, {"params": [next(other.parameters())], "lr": 1.0}])
    with pytest.raises(UserError, match="group 0 has no lr to scale"):
        plan.refine(model, [{"params": model.parameters()}])


SCHEDULERS: list[Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]] = [
    lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
    lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.3),
    lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=3), torch.optim.lr_scheduler.ExponentialLR(o, 0.9)],
        [3],
    ),
]


@pytest.mark.parametrize("make", SCHEDULERS)
def test_schedulers_keep_the_scales(make: Callable[[Any], Any]) -> None:
    """After every step each group's lr is its scale times that of a plain optimizer under the same scheduler."""
    target = target_of("llama", "adamw")
    plan = make_plan(target, BASE, WIDTH)
    model = target.build(AT_256, 0)
    ours = torch.optim.AdamW(plan.param_groups(model, lr=0.1), lr=0.1)
    plain = torch.optim.AdamW(target.build(AT_256, 0).parameters(), lr=0.1)
    schedules = make(ours), make(plain)
    assert len({group["lr_scale"] for group in ours.param_groups}) > 1
    for _ in range(8):
        for optimizer, schedule in zip((ours, plain), schedules, strict=True):
            optimizer.step()
            schedule.step()
        for group in ours.param_groups:
            assert group["lr"] == pytest.approx(plain.param_groups[0]["lr"] * group["lr_scale"])


# -- profiles -------------------------------------------------------------------------------------------------
def test_weight_decay_follows_the_profile() -> None:
    """lr·wd of hidden weights as the profile aims at, in every formulation; of others as it says for their role."""
    own = replace(TP5, name="own", weight_decay_target=-0.5, weight_decay_targets=MappingProxyType({"output": -1.0}))
    target = target_of("mlp", "adamw")
    for profile, hidden, output in ((TP5, 0.0, 0.0), (own, -0.5, -1.0)):
        for plan in make_plans(target, BASE, WIDTH, FORMULATIONS, profile=profile):
            entries = {e.pattern: e.lr + e.weight_decay for e in plan.entries}
            assert entries["hidden.*.weight"] == pytest.approx(hidden)
            assert entries["readout.weight"] == pytest.approx(output)
            assert entries["embed.weight"] == 0.0


def test_a_profile_with_a_standard_readout_keeps_it() -> None:
    """standard-full-align (Everett et al. 2024): a readout init of n^-1/2 is right, its learning rate is 1/m."""
    target = target_of("mlp", "adamw")
    for name, init in (("tp5", -0.5), ("standard-full-align", 0.0)):
        plan = make_plan(target, BASE, WIDTH, profile=PROFILES[name])
        entries = {e.pattern: e for e in plan.entries}
        assert (plan.profile, entries["readout.weight"].init, entries["readout.weight"].lr) == (name, init, -1.0)
        assert audit(planned(target, plan), profile=PROFILES[name]).count("error") == 0
