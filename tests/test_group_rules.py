"""What reaches the parameters: two planted bugs of every kind in right models, and their right twins."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from bugs.plant import FIXTURES, load
from test_optimizers import ADAM_LIKE, MLP, X, audit, groups
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.findings.model import Report

S = torch.optim.lr_scheduler
MODULE = load(FIXTURES / "bugs" / "schedule.py")
TOTAL = 100


def found(report: Report, *, advice: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """All that is not advice, and the advice that is asked for."""
    return [(v.rule, v.severity) for v in report.violations if v.severity != "advice" or v.rule in advice]


# -- in more than one group --------------------------------------------------------------------------------------------
def rates(model: MLP, names: tuple[str, ...], cls: Any = torch.optim.Adam) -> Any:
    """The right groups of the parameters with these names."""
    held = {id(p) for name, p in model.named_parameters() if name in names}
    made = [{**g, "params": [p for p in g["params"] if id(p) in held]} for g in groups(model, ADAM_LIKE)]
    return cls([g for g in made if g["params"]])


class Overlapping(torch.optim.Adam):
    """With groups that its own constructor fills, as hybrid optimizers do, past torch's check."""

    def __init__(self, model: MLP, *again: nn.Parameter) -> None:
        super().__init__(groups(model, ADAM_LIKE))
        self.param_groups[1]["params"].extend(again)


ALL = ("embed.weight", "embed.bias", "hidden.weight", "hidden.bias", "gain", "head.weight", "head.bias")
HELD: dict[str, tuple[Callable[[MLP], Any], Callable[[MLP], Any], set[str]]] = {
    "two optimizers": (
        lambda m: [rates(m, ALL), rates(m, ("head.weight",), torch.optim.AdamW)],
        lambda m: [rates(m, ALL[:5]), rates(m, ALL[5:], torch.optim.RMSprop)],
        {"head.weight"},
    ),
    "two groups": (lambda m: Overlapping(m, m.head.weight), Overlapping, {"head.weight"}),
}


@pytest.mark.parametrize("kind", HELD)
def test_a_parameter_that_is_held_twice(kind: str) -> None:
    wrong, right, names = HELD[kind]
    (said,) = [v for v in audit(wrong).violations if v.severity != "advice"]
    assert (said.rule, said.severity, set(said.tensors)) == ("MUP318", "error", names)
    assert found(audit(right)) == []


# -- keys of groups ----------------------------------------------------------------------------------------------------
def keyed(model: Any, key: str, power: float = 1.0) -> torch.optim.Optimizer:
    """One learning rate, and the factor of every parameter under a key that torch's AdamW does not know."""
    made = MODULE.optimizer(model).param_groups
    return torch.optim.AdamW(
        [{"params": g["params"], "lr": 3e-3, key: (g["lr"] / 3e-3) ** power} for g in made], weight_decay=0.0
    )


@pytest.mark.parametrize(("key", "power", "said"), [("lr_of_layer", 1.0, "lr_of_layer"), ("m", -1.0, "1/m")])
def test_a_factor_under_any_key_that_nothing_reads(key: str, power: float, said: str) -> None:
    def loop(optimizer: Any, *, reads: bool) -> Callable[[int], None]:
        def write(step: int) -> None:
            for group in optimizer.param_groups:
                group["lr"] = 3e-3 * warmed(step) * (group[key] ** power if reads else 1.0)

        return write

    def audited(reads: bool) -> Report:
        return audit_schedule(lambda o: loop(o, reads=reads), lambda model: keyed(model, key, power))

    (wrong,) = [v for v in audited(reads=False).violations if v.severity != "advice"]
    assert (wrong.rule, wrong.severity) == ("MUP308", "error")
    assert f"multiplies by the groups' {said}:" in wrong.message
    assert found(audited(reads=True)) == []


def test_a_number_in_the_groups_that_makes_nothing_right_is_no_factor() -> None:
    def optimizer(model: Any) -> torch.optim.Optimizer:
        made = MODULE.optimizer(model).param_groups
        return torch.optim.AdamW([{"params": g["params"], "lr": 3e-3, "layer": i + 1} for i, g in enumerate(made)])

    report = muaudit.check(
        MODULE.build, batch=MODULE.batch, loss=MODULE.loss, optimizer=optimizer, widths=MODULE.widths
    )
    assert {rule for rule, severity in found(report) if severity == "error"} <= {"MUP301", "MUP303"}


def test_what_is_frozen_where_the_optimizer_is_made_needs_no_group() -> None:
    def optimizer(model: MLP) -> Any:
        model.gain.requires_grad_(False)
        return {
            "one": rates(model, ("hidden.weight",)),
            "other": rates(model, tuple(n for n in ALL if n not in ("gain", "hidden.weight"))),
        }

    assert found(audit(optimizer)) == []


# -- schedules ---------------------------------------------------------------------------------------------------------
def audit_schedule(scheduler: Callable[[Any], Any], optimizer: Callable[[Any], Any] = MODULE.optimizer) -> Report:
    return muaudit.check(
        MODULE.build, batch=MODULE.batch, loss=MODULE.loss, optimizer=optimizer, scheduler=scheduler,
        widths=MODULE.widths,
    )  # fmt: skip


def two(model: Any) -> list[torch.optim.Optimizer]:
    m = model.width / MODULE.BASE
    hidden = [layer.weight for layer in model.hidden]
    rest = [model.embed.weight, *(p for p in model.parameters() if p.dim() == 1)]
    readout = {"params": [model.readout.weight], "lr": 3e-3 / m}
    return [torch.optim.Adam(hidden, lr=3e-3 / m), torch.optim.RMSprop([{"params": rest, "lr": 3e-3}, readout])]


def written(optimizer: Any, *, everywhere: bool, curve: Callable[[int], float]) -> Callable[[int], None]:
    first = [group["lr"] for group in optimizer.param_groups]

    def write(step: int) -> None:
        for group, rate in list(zip(optimizer.param_groups, first, strict=True))[: None if everywhere else 1]:
            group["lr"] = rate * curve(step)

    return write


def warmed(step: int) -> float:
    return min(step / 20, 1.0)


def cosine(step: int) -> float:
    return warmed(step) * 0.5 * (1 + math.cos(math.pi * min(step / TOTAL, 1.0)))


def warm_up_of_the_first(optimizer: Any) -> Callable[[int], None]:
    """All groups fall, one alone warms up."""
    first = [group["lr"] for group in optimizer.param_groups]

    def write(step: int) -> None:
        for number, (group, rate) in enumerate(zip(optimizer.param_groups, first, strict=True)):
            group["lr"] = rate * min(1.0, 2 - step / TOTAL) * (warmed(step) if number == 0 else 1.0)

    return write


SHAPES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "only the first group": (
        lambda o: written(o, everywhere=False, curve=cosine),
        lambda o: written(o, everywhere=True, curve=cosine),
        MODULE.optimizer,
    ),
    "a warm-up of the first": (
        warm_up_of_the_first,
        lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.1, total_iters=20), S.CosineAnnealingLR(o, 80)], [20]),
        MODULE.optimizer,
    ),
    "a second optimizer without": (
        lambda os: S.CosineAnnealingLR(os[1], TOTAL),
        lambda os: [S.CosineAnnealingLR(o, TOTAL) for o in os],
        two,
    ),
}


@pytest.mark.parametrize("longer", [False, True])
def test_a_warm_up_that_is_as_long_as_a_group_is_wide(longer: bool) -> None:
    """All of µP in the schedule; at the base width, which one probe has, all curves are the same."""

    def optimizer(model: Any) -> torch.optim.Optimizer:
        made = MODULE.optimizer(model).param_groups
        one = torch.optim.Adam([{"params": group["params"], "lr": 3e-3} for group in made])
        one.shares = [group["lr"] / 3e-3 for group in made]  # type: ignore[attr-defined]
        return one

    def scheduler(one: Any) -> Any:
        curves = [lambda step, share=share: share * warmed(step * (share if longer else 1.0)) for share in one.shares]
        return S.LambdaLR(one, curves)

    assert found(audit_schedule(scheduler, optimizer)) == [("MUP319", "warning")] * longer


@pytest.mark.parametrize("kind", SHAPES)
def test_schedules_of_another_shape(kind: str) -> None:
    wrong, right, optimizer = SHAPES[kind]
    assert found(audit_schedule(wrong, optimizer)) == [("MUP319", "warning")]
    assert found(audit_schedule(right, optimizer)) == []


class WarmupLR:
    """As DeepSpeed's: one number or a list of them for the largest rates, from zero in so many steps."""

    def __init__(
        self, optimizer: Any, warmup_max_lr: Any, warmup_num_steps: int = 20, total: int | None = None
    ) -> None:
        self.optimizer, self.warmup_num_steps, self.total_num_steps = optimizer, warmup_num_steps, total
        count = len(optimizer.param_groups)
        self.max_lrs = list(warmup_max_lr) if isinstance(warmup_max_lr, (list, tuple)) else [warmup_max_lr] * count
        self.last_batch_iteration = -1

    def get_lr(self) -> list[float]:
        step = self.last_batch_iteration
        share = min(1.0, math.log(step + 1) / math.log(self.warmup_num_steps))
        if self.total_num_steps is not None and step >= self.warmup_num_steps:  # WarmupDecayLR
            share = max(0.0, (self.total_num_steps - step) / (self.total_num_steps - self.warmup_num_steps))
        return [share * rate for rate in self.max_lrs]

    def step(self, last_batch_iteration: int | None = None) -> None:
        self.last_batch_iteration += 1
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate


class FromOne:
    """As timm's: the warm-up starts at one rate for all, which stands in the groups from the start."""

    def __init__(self, optimizer: Any, warmup_lr_init: float, warmup_t: int = 10) -> None:
        self.optimizer, self.warmup_t, self.init = optimizer, warmup_t, warmup_lr_init
        self.base = [group["lr"] for group in optimizer.param_groups]
        self.step(0)

    def step(self, epoch: int) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.base, strict=True):
            group["lr"] = self.init + (rate - self.init) * min(1.0, epoch / self.warmup_t)


def own_rates(optimizer: Any) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def with_min_lr(optimizer: Any, *, absolute: bool) -> Any:
    """transformers' cosine_with_min_lr keeps a share of each group's rate; a max() over rates does not."""
    if not absolute:
        share = 1e-4 / optimizer.defaults["lr"]
        return S.LambdaLR(optimizer, lambda step: max(share, cosine(step + 20)))
    first = own_rates(optimizer)

    def write(step: int) -> None:
        for group, rate in zip(optimizer.param_groups, first, strict=True):
            group["lr"] = max(1e-4, rate * cosine(step + 20))

    return write


FLATTENED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], str, str]] = {
    "WarmupLR": (lambda o: WarmupLR(o, 3e-3), lambda o: WarmupLR(o, own_rates(o)), "error", "WarmupLR: learning"),
    "WarmupDecayLR": (
        lambda o: WarmupLR(o, 3e-3, total=TOTAL), lambda o: WarmupLR(o, own_rates(o), total=TOTAL), "error", "WarmupLR",
    ),
    "OneCycleLR": (
        lambda o: S.OneCycleLR(o, 3e-3, total_steps=TOTAL), lambda o: S.OneCycleLR(o, own_rates(o), total_steps=TOTAL),
        "error", "OneCycleLR: learning",
    ),
    "in warm-up": (lambda o: FromOne(o, 1e-4), lambda o: FromOne(o, 0.0), "warning", "FromOne in warm-up"),
    "at the floor": (
        lambda o: with_min_lr(o, absolute=True), lambda o: with_min_lr(o, absolute=False), "warning", "at its floor",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FLATTENED)
def test_rates_that_are_flattened(kind: str) -> None:
    wrong, right, severity, text = FLATTENED[kind]
    (said,) = [v for v in audit_schedule(wrong).violations if v.severity != "advice"]
    assert (said.rule, said.severity) == ("MUP307", severity)
    assert text in said.message
    assert found(audit_schedule(right)) == []


# -- weight decay ------------------------------------------------------------------------------------------------------
Decay = Callable[[torch.Tensor, torch.Tensor, dict[str, Any], dict[str, Any]], None]


def decaying(decay: Decay, after: Callable[[torch.Tensor, dict[str, Any]], torch.Tensor] | None = None) -> Any:
    """Sign steps with weight decay of one's own."""

    class Mine(torch.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 1e-3, "weight_decay": 0.0})

        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    update = p.grad.sign()
                    decay(p, update, group, {"weight_decay": 0.1})
                    p.sub_(group["lr"] * (after(update, group) if after else update))

    return Mine


def dropped(p: torch.Tensor, update: torch.Tensor, group: dict[str, Any], own: dict[str, Any]) -> None:
    p.mul(1 - group["lr"] * group["weight_decay"])


def into_a_copy(p: torch.Tensor, update: torch.Tensor, group: dict[str, Any], own: dict[str, Any]) -> None:
    update = update + group["weight_decay"] * p


def in_place(p: torch.Tensor, update: torch.Tensor, group: dict[str, Any], own: dict[str, Any]) -> None:
    p.mul_(1 - group["lr"] * group["weight_decay"])


def into_the_update(p: torch.Tensor, update: torch.Tensor, group: dict[str, Any], own: dict[str, Any]) -> None:
    update.add_(p, alpha=group["weight_decay"])


def by_the_default(p: torch.Tensor, update: torch.Tensor, group: dict[str, Any], own: dict[str, Any]) -> None:
    p.mul_(1 - group["lr"] * own["weight_decay"])


def whatever_is_falsy(p: torch.Tensor, update: torch.Tensor, group: dict[str, Any], own: dict[str, Any]) -> None:
    update.add_(p, alpha=group["weight_decay"] or own["weight_decay"])


def matrices_decayed(model: MLP) -> list[dict[str, Any]]:
    """lr · wd the same at all widths; vectors without decay."""
    made = []
    for group in groups(model, ADAM_LIKE):
        for p in group["params"]:
            decay = 0.1 * 1e-3 / group["lr"] if p.dim() > 1 else 0.0
            made.append({"params": [p], "lr": group["lr"], "weight_decay": decay})
    return made


@pytest.mark.parametrize("decay", [dropped, into_a_copy])
def test_decay_that_is_computed_and_thrown_away(decay: Decay) -> None:
    (said,) = [v for v in audit(lambda m: decaying(decay)(matrices_decayed(m))).violations if v.severity != "advice"]
    assert said.rule == "MUP320"
    assert "changes no step of Mine" in said.message
    assert set(said.tensors) == {"embed.weight", "hidden.weight", "head.weight"}


@pytest.mark.parametrize("decay", [by_the_default, whatever_is_falsy])
def test_decay_of_what_should_have_none(decay: Decay) -> None:
    report = audit(lambda m: decaying(decay)(matrices_decayed(m)))
    (said,) = [v for v in report.violations if v.severity != "advice"]
    assert said.rule == "MUP320"
    assert "0.1 · lr a step, which their group does not say" in said.message
    assert {"embed.bias", "hidden.bias", "gain", "head.bias"} == set(said.tensors)


def in_float32(p: torch.Tensor, update: torch.Tensor, group: dict[str, Any], own: dict[str, Any]) -> None:
    """As fused steps have it: settings in tensors without a dim, 1 - lr · wd is 1 where that is below 6e-8."""
    lr, decay = torch.tensor(group["lr"], dtype=torch.float32), torch.tensor(group["weight_decay"] / 100)
    p.copy_(p.float().mul_(1 - lr * decay))


@pytest.mark.parametrize("decay", [in_place, into_the_update, in_float32])
def test_decay_as_it_is_set_is_silent(decay: Decay) -> None:
    report = audit(lambda m: decaying(decay)(matrices_decayed(m)))
    assert found(report, advice=("MUP310", "MUP503")) == []


def scaled(model: MLP) -> list[dict[str, Any]]:
    """One lr, a factor beside it, and one weight decay for all matrices."""
    return [
        {"params": [p], "lr": 1e-3, "lr_scale": group["lr"] / 1e-3, "weight_decay": 0.1 if p.dim() > 1 else 0.0}
        for group in groups(model, ADAM_LIKE) for p in group["params"]
    ]  # fmt: skip


def by_factor(update: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
    return update * group["lr_scale"]


def with_the_factor(p: torch.Tensor, update: torch.Tensor, group: dict[str, Any], own: dict[str, Any]) -> None:
    p.mul_(1 - group["lr"] * group["lr_scale"] * group["weight_decay"])


@pytest.mark.parametrize("decay", [into_the_update, with_the_factor])
def test_decay_before_the_factor_of_a_layer_is_scaled_by_it(decay: Decay) -> None:
    report = audit(lambda m: decaying(decay, by_factor)(scaled(m)))
    said = {v.tensors: v.found_exponent for v in report.violations if v.rule == "MUP310"}
    assert said == {("hidden.weight",): -1.0, ("head.weight",): -1.0}
    behind = audit(lambda m: decaying(in_place, by_factor)(scaled(m)))
    assert found(behind, advice=("MUP310",)) == []


class Normed(MLP):
    """Gains in norms, as most models have them."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.norm, self.norm_f = nn.RMSNorm(width), nn.RMSNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm(torch.tanh(self.embed(x)) * self.gain)
        return self.head(self.norm_f(torch.tanh(self.hidden(h))))


def by_first_match(patterns: dict[str, float]) -> Callable[[Normed], Any]:
    """AdamW with a group for every pattern of names, the first one that matches; learning rates are right."""

    def optimizer(model: Normed) -> torch.optim.Optimizer:
        m = model.gain.numel() / 64
        made: list[dict[str, Any]] = [
            {"params": [], "lr": 1e-3 * scale, "weight_decay": decay / scale if decay else 0.0}
            for decay in patterns.values() for scale in (1.0, 1 / m)
        ]  # fmt: skip
        for name, p in model.named_parameters():
            number = next(i for i, pattern in enumerate(patterns) if any(each in name for each in pattern.split("|")))
            made[2 * number + (name in ("hidden.weight", "head.weight"))]["params"].append(p)
        filled = [g for i, g in enumerate(made) if g["params"] or (g["weight_decay"] == 0.0 and i % 2 == 0)]
        return torch.optim.AdamW(filled)

    return optimizer


def audit_normed(optimizer: Callable[[Normed], Any]) -> Report:
    return muaudit.check(
        Normed, batch=lambda width: X, optimizer=optimizer, widths=(64, 128),
        loss=lambda out, batch: F.cross_entropy(out, torch.zeros(16, dtype=torch.long)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("patterns", "names", "text"),
    [
        ({"bias|gain|norm_f": 0.0, "": 0.1}, {"norm.weight"}, "holds others of their kind"),
        ({"e|a|h|n": 0.1, "norm|bias|gain": 0.0, "": 0.1},
         {"norm.weight", "norm_f.weight", "gain", "embed.bias", "hidden.bias"}, "is empty"),
    ],
)  # fmt: skip
def test_a_pattern_that_takes_away_from_the_group_without_decay(
    patterns: dict[str, float], names: set[str], text: str
) -> None:
    (said,) = [v for v in audit_normed(by_first_match(patterns)).violations if v.severity != "advice"]
    assert (said.rule, set(said.tensors)) == ("MUP321", names)
    assert text in said.message


@pytest.mark.parametrize("patterns", [{"norm|bias|gain": 0.0, "": 0.1}, {"": 0.0}])
def test_a_group_without_decay_that_gets_its_own_is_silent(patterns: dict[str, float]) -> None:
    assert found(audit_normed(by_first_match(patterns))) == []


# -- rates that are found in training ----------------------------------------------------------------------------------
class OwnRate(torch.optim.Optimizer):
    """A step size d for all parameters, as D-Adaptation has it."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 1.0, "d": 1e-6, "k": 0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["d"] * group["lr"] * p.grad.sign())


class Clipped(torch.optim.Optimizer):
    """Divides by the norm of all gradients, then takes signs times their mean size: one factor for all."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 1e-3})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        held = [p for group in self.param_groups for p in group["params"]]
        size = sum(float(p.grad.abs().mean()) for p in held) / len(held)
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * math.log1p(size) * p.grad.sign())


@pytest.mark.parametrize("cls", [OwnRate, Clipped])
def test_a_rate_that_is_found_in_training_is_one_factor_for_all(cls: Any) -> None:
    report = audit(lambda model: cls(groups(model, ADAM_LIKE)))
    assert found(report, advice=("MUP317",)) == [("MUP317", "advice")]
    wrong = audit(lambda model: cls(groups(model, (0.0, 0.0, -1.0, 0.0))))
    assert found(wrong, advice=("MUP317",)) == [("MUP301", "error"), ("MUP317", "advice")]
    plain = audit(lambda model: torch.optim.Adam(groups(model, ADAM_LIKE)))
    assert found(plain, advice=("MUP317",)) == []
