"""Tables 3, 8 and 9 and the absorbed formulation: all are µP, all train alike, and a run moves from one to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest
import torch
from matrix import matrix, some
from test_convert import BASE, losses, target_of
from test_fixtures import FAMILIES
from torch import nn
from torch.nn import functional as F

from muaudit.audit import audit
from muaudit.convert.planner import make_plan, make_plans
from muaudit.errors import UserError
from muaudit.plan.plan import Plan
from muaudit.plan.planned import planned
from muaudit.plan.scales import FORMULATIONS, Part
from muaudit.targets import Target, from_functions

WIDTH = 128
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop,
}  # fmt: skip


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def trained(plan: Plan, model: nn.Module) -> torch.optim.Optimizer:
    """The plan's optimizer with an eps too small to matter."""
    if plan.optimizer == "sgd":
        return torch.optim.SGD(plan.param_groups(model, lr=0.003, weight_decay=0.1), momentum=0.9, nesterov=True)
    groups = plan.param_groups(model, lr=0.003, weight_decay=0.1, eps=1e-300)
    extra: dict[str, Any] = {"amsgrad": True} if plan.optimizer == "adam" else {}
    return OPTIMIZERS[plan.optimizer](groups, **extra)


@pytest.mark.parametrize(("family", "optimizer"), matrix(FAMILIES, list(OPTIMIZERS)))
def test_every_formulation_is_mup(family: str, optimizer: str) -> None:
    target = target_of(family, optimizer)
    for plan in make_plans(target, BASE, 1024, FORMULATIONS[1:]):
        report = audit(planned(target, plan))
        assert (plan.formulation, report.verdict, report.count("error"), report.unanalysed) == (
            plan.formulation, "mup", 0, (),
        )  # fmt: skip


# Exponents of m at fan-in and fan-out m: (init, Adam lr, SGD lr), from TP5 Tables 3, 8 and 9. The fixture starts as
# standard parametrization: the input weights 1, all others m^-1/2.
TABLES = {
    "table3": {"embed.weight": (0, 0, 1), "hidden.*.weight": (-1 / 2, -1, 0), "readout.weight": (-1, -1, -1)},
    "table8": {"embed.weight": (0, 0, 1), "hidden.*.weight": (-1 / 2, -1, 0), "readout.weight": (0, 0, 1)},
    "table9": {
        "embed.weight": (-1 / 2, -1 / 2, 0), "hidden.*.weight": (-1 / 2, -1, 0), "readout.weight": (-1 / 2, -1 / 2, 0)
    },
}  # fmt: skip
START = {"embed.weight": 0, "hidden.*.weight": -1 / 2, "readout.weight": -1 / 2}


@pytest.mark.parametrize("formulation", list(TABLES))
def test_weights_are_as_the_tables_say(formulation: str) -> None:
    for optimizer in ("adam", "sgd"):
        plan = make_plan(target_of("mlp", optimizer), BASE, WIDTH, formulation=formulation)
        entries = {entry.pattern: entry for entry in plan.entries}
        for name, (init, adam, sgd) in TABLES[formulation].items():
            assert entries[name].init + START[name] == pytest.approx(init)
            assert entries[name].lr == pytest.approx(adam if optimizer == "adam" else sgd)


def test_multipliers_are_on_modules_and_columns() -> None:
    """Scaled queries inside a fused projection, a tied head; Table 9 pays for its biases with a multiplier more."""
    plans = {plan.formulation: plan for plan in make_plans(target_of("gpt", "adamw"), BASE, WIDTH, FORMULATIONS)}
    hooks = {name: {(h.module, h.on, h.part): h.exponent for h in plan.hooks} for name, plan in plans.items()}
    columns, all_of_it = Part(1, Fraction(0), Fraction(1, 3)), Part()
    attention = {("transformer.h.*.attn.c_attn", "output", columns): -0.5}
    assert hooks["absorbed"] == {}
    assert hooks["table3"] == hooks["table8"] == attention | {("lm_head", "input", all_of_it): -1.0}
    table9 = hooks["table9"]
    assert table9["lm_head", "input", all_of_it] == -0.5
    assert table9["transformer.wte", "output", all_of_it] == 0.5
    assert table9["transformer.h.*.mlp.c_fc", "input", all_of_it] == -0.5
    assert table9["transformer.h.*.mlp.c_fc", "output", all_of_it] == 0.5
    assert attention.items() <= table9.items()


TRAINED = [("gpt", "adamw"), ("gpt", "sgd"), ("llama", "adamw"), ("llama", "sgd"), ("mlp", "adam"), ("mlp", "sgd")]


@pytest.mark.parametrize(("family", "optimizer"), some(TRAINED, [("gpt", "adamw"), ("llama", "sgd"), ("mlp", "adam")]))
@pytest.mark.usefixtures("double")
def test_all_formulations_train_alike(family: str, optimizer: str) -> None:
    """And so does one run that goes through all of them, optimizer state included (TP5 Lemma J.1)."""
    target = target_of(family, optimizer)
    plans = make_plans(target, BASE, WIDTH, FORMULATIONS)
    sizes = {target.axes[0].name: WIDTH}
    runs = []
    for plan in plans:
        model = plan.apply_(target.build(sizes, 0))
        runs.append(losses(target, model, trained(plan, model), 20, WIDTH))
    for run in runs[1:]:
        assert run == pytest.approx(runs[0], rel=1e-9)
    assert runs[0][-1] < runs[0][0]

    model = plans[0].apply_(target.build(sizes, 0))
    optimizer_ = trained(plans[0], model)
    moved = losses(target, model, optimizer_, 5, WIDTH)
    for before, after in zip(plans, [*plans[1:], plans[0]], strict=True):
        before.move_(model, optimizer_, to=after)
        moved += losses(target, model, optimizer_, 5, WIDTH)
    assert moved[:20] == pytest.approx(runs[0], rel=1e-9)
    assert moved[20:] != pytest.approx(runs[0][15:], rel=1e-3)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(("family", "optimizer"), [("gpt", "adamw"), ("mlp", "sgd")])
@pytest.mark.usefixtures("double")
def test_a_width_below_the_base(family: str, optimizer: str) -> None:
    """m = 1/2: still one training in all formulations, and still the plan of the base width seen from the other end."""
    target = target_of(family, optimizer)
    plans = make_plans(target, WIDTH, WIDTH // 2, FORMULATIONS)
    runs = []
    for plan in plans:
        model = plan.apply_(target.build({"n": WIDTH // 2}, 0))
        runs.append(losses(target, model, trained(plan, model), 8, WIDTH // 2))
    for run in runs[1:]:
        assert run == pytest.approx(runs[0], rel=1e-9)
    up = make_plans(target, WIDTH // 2, WIDTH, FORMULATIONS)
    for narrow, wide in zip(plans, up, strict=True):
        for one, other in zip(narrow.entries, wide.entries, strict=True):
            for before, after in zip(one.exponents, other.exponents, strict=True):
                assert narrow.scale(before) * wide.scale(after) == pytest.approx(1.0)


@pytest.mark.parametrize("formulation", FORMULATIONS[1:])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_base_width_trains_bit_for_bit_in_every_formulation(formulation: str, optimizer: str) -> None:
    target = target_of("gpt", optimizer)
    plan = make_plan(target, BASE, BASE, formulation=formulation)
    assert plan.hooks
    sizes = {target.axes[0].name: BASE}
    before, after = target.build(sizes, 3), plan.apply_(target.build(sizes, 3))
    settings = {"lr": 0.01, "weight_decay": 0.1}
    old = losses(target, before, OPTIMIZERS[optimizer](before.parameters(), **settings), 20, BASE)
    new = losses(target, after, OPTIMIZERS[optimizer](plan.param_groups(after, **settings)), 20, BASE)
    assert old == new


# -- moving -----------------------------------------------------------------------------------------------------------
def test_moving_keeps_schedules() -> None:
    target = target_of("mlp", "adamw")
    old, new = make_plans(target, BASE, WIDTH, ["absorbed", "table8"])
    model = old.apply_(target.build({"n": WIDTH}, 0))
    optimizer = torch.optim.AdamW(old.param_groups(model, lr=0.1, weight_decay=0.1))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    losses(target, model, optimizer, 1, WIDTH)
    scheduler.step()
    old.move_(model, optimizer, to=new)
    expected = new.param_groups(model, lr=0.1, weight_decay=0.1)
    by_parameter = {id(p): group for group in expected for p in group["params"]}
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step), last_epoch=1)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            want = by_parameter[id(parameter)]
            assert group["lr"] == pytest.approx(want["lr"] / 3)
            for key in ("lr_scale", "weight_decay", "eps"):
                assert group[key] == pytest.approx(want[key])


def test_moves_that_make_no_sense_change_nothing() -> None:
    target = target_of("mlp", "adamw")
    old, new = make_plans(target, BASE, WIDTH, ["table8", "table9"])
    model = target.build({"n": WIDTH}, 0)
    with pytest.raises(UserError, match="has not been applied"):
        old.move_(model, None, to=new)
    old.apply_(model)
    with pytest.raises(UserError, match="base_width is 64 here and 32 there"):
        old.move_(model, None, to=make_plan(target, 32, WIDTH))
    with pytest.raises(UserError, match="the model is in the formulation table8"):
        new.move_(model, None, to=old)
    optimizer = torch.optim.Adadelta(model.parameters())
    losses(target, model, optimizer, 1, WIDTH)
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(UserError, match="do not know how the optimizer state 'acc_delta'"):
        old.move_(model, optimizer, to=new)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    with pytest.raises(UserError, match="no formulation 'table7'"):
        make_plan(target, BASE, WIDTH, formulation="table7")


# -- columns ----------------------------------------------------------------------------------------------------------
class Interleaved(nn.Module):
    """Attention whose fused projection holds query, key and value head by head, as GPT-NeoX does."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(16, width)
        self.norm, self.last = nn.LayerNorm(width), nn.LayerNorm(width)
        self.fused, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.head = nn.Linear(width, 16, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        q, k, v = self.fused(self.norm(x)).view(*x.shape[:2], 4, -1).transpose(1, 2).chunk(3, -1)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.head(self.last(x + self.out(heads.transpose(1, 2).reshape(x.shape))))


def interleaved(optimizer: str = "adamw", cls: type[nn.Module] = Interleaved) -> Target:
    return from_functions(
        cls,
        batch=lambda width: torch.randint(16, (2, 8), generator=torch.Generator().manual_seed(0)),
        loss=lambda output, batch: F.cross_entropy(output.flatten(0, 1), batch.flatten()),
        optimizer=optimizer,
        widths=(64, 128),
    )


@pytest.mark.usefixtures("double")
def test_queries_inside_every_head_of_a_fused_projection() -> None:
    target = interleaved()
    absorbed, table3 = make_plans(target, BASE, WIDTH, ["absorbed", "table3"])
    (hook,) = table3.hooks
    assert (hook.module, hook.on, hook.exponent) == ("fused", "output", -0.5)
    assert hook.part == Part(4, Fraction(0), Fraction(1, 3))
    report = audit(planned(target, table3))
    assert (report.count("error"), report.unanalysed) == (0, ())
    runs = []
    for plan in (absorbed, table3):
        model = plan.apply_(target.build({"width": WIDTH}, 0))
        runs.append(losses(target, model, trained(plan, model), 5, WIDTH))
    assert runs[0] == pytest.approx(runs[1], rel=1e-9)


class Gated(Interleaved):
    """The query's columns gate the values too: no multiplier on them is one on the logits alone."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        q, k, v = self.fused(self.norm(x)).view(*x.shape[:2], 4, -1).transpose(1, 2).chunk(3, -1)
        heads = F.scaled_dot_product_attention(q, k, v * q.sigmoid(), is_causal=True)
        return self.head(self.last(x + self.out(heads.transpose(1, 2).reshape(x.shape))))


def test_queries_that_go_elsewhere_too_leave_the_multiplier_to_the_keys() -> None:
    (hook,) = make_plan(interleaved(cls=Gated), BASE, WIDTH, formulation="table3").hooks
    assert hook.part == Part(4, Fraction(1, 3), Fraction(2, 3))


class Concatenated(Interleaved):
    """A constant on the query alone, put in before the projection's output is taken apart."""

    exponent = -0.5

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        width = x.shape[-1]
        fused = self.fused(self.norm(x))
        scaled = torch.cat([fused[..., :width] * width**self.exponent, fused[..., width:]], -1)
        q, k, v = (part.view(*x.shape[:2], 4, -1).transpose(1, 2) for part in scaled.split(width, -1))
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.head(self.last(x + self.out(heads.transpose(1, 2).reshape(x.shape))))


def test_what_is_concatenated_and_taken_apart_again_equates_nothing() -> None:
    def rules(exponent: float) -> set[str]:
        cls = type("Concatenated", (Concatenated,), {"exponent": exponent})
        return {v.rule for v in audit(interleaved(cls=cls)).violations if v.severity == "error"}

    assert rules(0.0) - rules(-0.5) == {"MUP201"}
    assert not rules(-0.5) & {"MUP201", "MUP207"}
