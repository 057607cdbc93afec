"""Optimizers that no table knows, judged by what they do: planted classes whose step law is plain to see."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from test_optimizers import ADAM_LIKE, MLP, NORM_SCALED, SGD, audit, groups
from torch import nn

import muaudit
from muaudit.findings.model import Report
from muaudit.optimizers import Law
from muaudit.optimizers.running import CannotRun, Setup, run
from muaudit.optimizers.steps import Steps, steps_of

Rule = Callable[[torch.Tensor, torch.Tensor, dict[str, Any]], torch.Tensor]


def stepping(rule: Rule, name: str = "Mine", **defaults: Any) -> type[torch.optim.Optimizer]:
    """An optimizer that takes `lr · rule(gradient, parameter, group)` off every parameter."""

    class Made(torch.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 1e-3, **defaults})
            self.count = 0  # torch's own copy of an optimizer would leave this out

        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            self.count += 1
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(group["lr"] * rule(p.grad, p, group))

    Made.__name__ = name
    return Made


def polar(gradient: torch.Tensor) -> torch.Tensor:
    if gradient.dim() < 2 or not gradient.any():
        return gradient.sign()
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    return left @ right


def longest(p: torch.Tensor) -> int:
    return max(p.shape) if p.dim() > 1 else 1


def rms(x: torch.Tensor) -> torch.Tensor:
    return x.square().mean().sqrt()


RULES: dict[str, tuple[Rule, tuple[float, float, float, float]]] = {
    "sign": (lambda g, p, group: g.sign(), ADAM_LIKE),
    "gradient": (lambda g, p, group: g, SGD),
    "normalised, relative": (lambda g, p, group: g.sign() * rms(p), NORM_SCALED),
    # hidden (n, n), readout (4, n): the spectral norm must be sqrt(fan_out/fan_in), so n^-1/2 for the readout
    "orthogonal": (lambda g, p, group: polar(g), (0.5, 0.0, -0.5, 0.0)),
    "orthogonal, rms": (
        lambda g, p, group: polar(g) * longest(p) ** 0.5,
        (0.0, -0.5, -1.0, 0.0),
    ),
    # the root of the gradient: λ + gradient/2 = ideal step, the gradient being n^-1 but n^0 at the readout
    "root": (lambda g, p, group: g.sign() * g.abs().sqrt(), (0.5, -0.5, -1.0, 0.0)),
}


def exponents_of(rule: Rule, exponents: tuple[float, float, float, float]) -> Report:
    """Vectors as Adam's where the update of a matrix is orthogonalised: their sign is what moves them."""

    def optimizer(model: MLP) -> torch.optim.Optimizer:
        made = groups(model, exponents)
        if "polar" in rule.__code__.co_names:
            m = model.gain.numel() / 64
            made = [{"params": [p for g in made for p in g["params"] if p.dim() < 2], "lr": 1e-3}] + [
                {"params": [p], "lr": g["lr"]} for g in made for p in g["params"] if p.dim() > 1
            ]
            assert m >= 1
        return stepping(rule)(made)

    return audit(optimizer)


@pytest.mark.parametrize("name", RULES)
def test_the_right_rates_of_a_measured_law_pass(name: str) -> None:
    rule, exponents = RULES[name]
    report = exponents_of(rule, exponents)
    wrong = [v for v in report.violations if v.severity != "advice" and v.rule != "MUP322"]  # readouts: of right rates
    if name == "normalised, relative":  # relative to a bias that starts at zero nothing can be said
        wrong = [v for v in wrong if not set(v.tensors) <= {"embed.bias", "hidden.bias", "head.bias"}]
    assert not wrong, [(v.rule, v.tensors, v.found, v.expected) for v in wrong]
    assert report.verdict == "mup"


@pytest.mark.parametrize("name", RULES)
def test_a_measured_law_blames_the_rate_that_is_off(name: str) -> None:
    rule, exponents = RULES[name]
    report = exponents_of(rule, (exponents[0], exponents[1] - 0.5, *exponents[2:]))
    found = [v for v in report.violations if v.rule in ("MUP301", "MUP313")]
    assert [(v.tensors, v.found_exponent, v.expected_exponent) for v in found] == [
        (("hidden.weight",), exponents[1] - 0.5, exponents[1])
    ]


AMBIGUOUS: dict[str, tuple[Rule, str]] = {
    "clipped": (lambda g, p, group: g / max(1.0, float(g.norm())), "depends on how large that is"),
    "large eps": (lambda g, p, group: g / (g.abs() + 1e-3), "depends on how large that is"),
    "noise": (lambda g, p, group: torch.randn_like(g), "parameters that have no gradient"),
    "own pace": (lambda g, p, group: g.sign() / group["lr"], "learning rate to the power 0.00"),
    "nothing": (lambda g, p, group: 0 * g, "leave a parameter with a gradient where it is"),
    "raises": (lambda g, p, group: g.nonsense, "raised AttributeError"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_cannot_be_told_is_said(name: str) -> None:
    rule, reason = AMBIGUOUS[name]
    report = audit(lambda model: stepping(rule)(groups(model, ADAM_LIKE)))
    assert not [v for v in report.violations if v.rule.startswith("MUP30")]
    matrices = {"embed.weight", "hidden.weight", "head.weight"}
    assert {u.rule for u in report.unanalysed} == {"MUP903"}
    assert matrices <= {u.name for u in report.unanalysed}
    assert any(f"do not know the optimizer Mine: its learning rate is not judged ({reason}"[:60] in u.reason
               and reason in u.reason for u in report.unanalysed)  # fmt: skip


def test_the_norm_of_a_whole_gradient_says_nothing_about_a_matrix_of_high_rank() -> None:
    """g / |g|: the spectral norm of a step is 1 where the gradient has rank one, and falls where it has full rank."""
    rates = (0.5, 0.0, -0.5, 0.0)
    report = audit(lambda model: stepping(lambda g, p, group: g / (g.norm() + 1e-30))(groups(model, rates)))
    assert not [v for v in report.violations if v.severity != "advice"]
    assert [(u.name, "depends on the rank of the gradient" in u.reason) for u in report.unanalysed] == [
        ("hidden.weight", True)
    ]


def test_a_name_does_not_count_where_the_step_says_otherwise() -> None:
    for name, rule, exponents in (("SGD", RULES["sign"][0], ADAM_LIKE), ("AdamW", RULES["gradient"][0], SGD)):
        assert audit(lambda model, n=name, r=rule, e=exponents: stepping(r, n)(groups(model, e))).verdict == "mup"


@pytest.mark.parametrize("key", ["lr_scale", "of_the_width"])
def test_a_factor_that_the_step_multiplies_by_counts_by_any_name(key: str) -> None:
    def made(model: MLP, rule: Rule) -> torch.optim.Optimizer:
        scaled = [{**g, "lr": 1e-3, key: g["lr"] / 1e-3} for g in groups(model, ADAM_LIKE)]
        return stepping(rule)(scaled)

    used = audit(lambda model: made(model, lambda g, p, group: g.sign() * group[key]))
    assert (used.verdict, [v for v in used.violations if v.severity != "advice"]) == ("mup", [])
    ignored = audit(lambda model: made(model, lambda g, p, group: g.sign()))
    rules = {v.rule for v in ignored.violations if v.severity != "advice"}
    assert rules == {"MUP308"}


@pytest.mark.parametrize("power", [1, 2])
def test_a_factor_that_an_optimizer_keeps_for_itself_counts(power: int) -> None:
    """One learning rate for all, and a step that divides what has a large fan_in by a width that no group holds."""

    def optimizer(model: MLP) -> torch.optim.Optimizer:
        m = (model.gain.numel() / 64) ** power
        made = stepping(lambda g, p, group: g.sign() / (m if p.dim() > 1 and p.shape[1] > 40 else 1.0))
        return made(model.parameters())

    report = audit(optimizer)
    assert not report.unanalysed
    found = {v.tensors for v in report.violations if v.severity == "error"}
    assert found == (set() if power == 1 else {("hidden.weight",), ("head.weight",)})


def test_a_factor_in_the_rate_that_the_step_multiplies_by_again_counts_twice() -> None:
    def optimizer(model: MLP) -> torch.optim.Optimizer:
        scaled = [{**g, "lr_scale": g["lr"] / 1e-3} for g in groups(model, ADAM_LIKE)]
        return stepping(lambda g, p, group: g.sign() * group["lr_scale"])(scaled)

    found = {v.tensors: v.found_exponent for v in audit(optimizer).violations if v.severity == "error"}
    assert found == {("hidden.weight",): -2.0, ("head.weight",): -2.0}


def test_a_subclass_that_ignores_a_factor_is_not_taken_to_use_it() -> None:
    class Ours(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    def optimizer(model: MLP) -> torch.optim.Optimizer:
        made = [{**g, "lr": 1e-3, "lr_scale": g["lr"] / 1e-3} for g in groups(model, ADAM_LIKE)]
        return Ours(made, weight_decay=0.0)

    assert "MUP308" in {v.rule for v in audit(optimizer).violations}


def test_nothing_of_the_users_is_touched() -> None:
    weight = torch.nn.Parameter(torch.randn(8, 8))
    optimizer = stepping(lambda g, p, group: g)([weight])
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    optimizer.register_step_pre_hook(lambda *given: pytest.fail("a hook of the user's ran"))
    before, random = weight.detach().clone(), torch.get_rng_state()
    run(optimizer, 0, Setup((8, 8)))
    assert torch.equal(weight, before)
    assert weight.grad is None
    assert torch.equal(random, torch.get_rng_state())
    assert (optimizer.count, scheduler.last_epoch, len(optimizer.state)) == (0, 0, 0)  # type: ignore[attr-defined]


def test_decay_is_found_where_it_is_taken_off_the_weights() -> None:
    def law(rule: Rule) -> bool:
        optimizer = stepping(rule, weight_decay=0.1)([torch.nn.Parameter(torch.randn(64, 64))])
        return Steps(optimizer, math.log(2)).of(0, ((64, 64), (128, 128)), (1.0, 1.0)).decoupled

    assert law(lambda g, p, group: g.sign() + group["weight_decay"] * p)
    assert not law(lambda g, p, group: (g + group["weight_decay"] * p).sign())


def test_a_wrapper_steps_what_it_wraps_on_a_copy() -> None:
    class Wrapper:
        """Holds another optimizer, as samplers and precision wrappers do, and needs a closure."""

        def __init__(self, inner: torch.optim.Optimizer) -> None:
            self.inner = inner

        @property
        def param_groups(self) -> Any:
            return self.inner.param_groups

        def step(self, closure: Any) -> None:
            closure()
            self.inner.step()

    weight = torch.nn.Parameter(torch.randn(64, 64))
    before = weight.detach().clone()
    wrapper = Wrapper(torch.optim.Adam([weight]))
    how = Steps(wrapper, math.log(2)).of(0, ((64, 64), (128, 128)), (1.0, 1.0))
    assert (how.family, how.law) == ("adam", Law())
    assert torch.equal(weight, before)


def test_state_that_is_set_up_before_the_first_step() -> None:
    class Summed(torch.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 1e-3})
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["sum"] = torch.full_like(p, self.start)

        start: Any = 0.0

        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["sum"] += p.grad.square()
                    p.sub_(group["lr"] * p.grad / (self.state[p]["sum"].sqrt() + 1e-10))

    optimizer = Summed([torch.nn.Parameter(torch.randn(64, 64))])
    assert Steps(optimizer, math.log(2)).of(0, ((64, 64), (128, 128)), (1.0, 1.0)).law == Law()
    optimizer.state[optimizer.param_groups[0]["params"][0]]["sum"] += torch.rand(64, 64)
    with pytest.raises(CannotRun, match="state of its own before the first step"):
        run(optimizer, 0, Setup((8, 8)))


def kept(rule: Callable[[torch.Tensor, torch.Tensor, dict[str, Any]], torch.Tensor], **defaults: Any) -> Any:
    """As `stepping`, with a state for each parameter in place of the group, over three matrices."""

    class Made(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(group["lr"] * rule(p.grad, p, self.state[p]))

    return Made([torch.nn.Parameter(torch.randn(64, 64)) for _ in range(3)], {"lr": 1e-3, **defaults})


def judged(optimizer: Any, shapes: Any = ((64, 64), (128, 128))) -> Any:
    dims = tuple(float(b > a) for a, b in zip(*shapes, strict=True))
    return Steps(optimizer, math.log(2)).of(0, shapes, dims)


def test_gradients_differ_from_step_to_step_as_those_of_batches_do() -> None:
    """What is divided by is one of size 1 plus the spread of gradients: with one gradient it would look like SGD."""

    def rule(g: torch.Tensor, p: torch.Tensor, state: dict[str, Any]) -> torch.Tensor:
        spread = (g - state.get("before", g)).abs()
        state["before"] = g.clone()
        return g / (1 + 100 * spread)

    assert judged(kept(rule)).family == "unknown"


def test_a_trust_ratio_that_only_decay_switches_on_is_seen() -> None:
    def made(decay: float) -> Any:
        def rule(g: torch.Tensor, p: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
            trust = p.norm() / g.norm() if group["weight_decay"] and g.any() else 1.0
            return trust * (g + group["weight_decay"] * p)

        return stepping(rule, weight_decay=decay)([torch.nn.Parameter(torch.randn(64, 64))])

    assert (judged(made(0.1)).family, judged(made(0.0)).family) == ("relative", "sgd")


def test_a_norm_over_all_parameters_is_one_factor_for_all() -> None:
    class Normalised(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            held = [p for group in self.param_groups for p in group["params"]]
            norm = sum(float(p.grad.square().sum()) for p in held) ** 0.5 + 1e-12
            for p in held:
                p.sub_(self.param_groups[0]["lr"] * p.grad / norm)

    how = judged(Normalised([torch.nn.Parameter(torch.randn(64, 64)) for _ in range(3)], {"lr": 1e-3}))
    assert (how.family, how.shared, how.law) == ("sgd", True, Law(gradient=1.0))
    assert not judged(stepping(lambda g, p, group: g)([torch.nn.Parameter(torch.randn(64, 64))])).shared


def test_an_orthogonal_update_with_the_size_of_another_is_told_apart() -> None:
    """Of norm 1 an entry: its spectral norm is n for a gradient of rank one and sqrt(n) for one of full rank."""

    def rule(g: torch.Tensor, p: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        left, sizes, right = torch.linalg.svd(g, full_matrices=False)
        kept = left @ torch.diag((sizes > 1e-9 * sizes[0]).to(g)) @ right
        return kept / (rms(kept) + 1e-30)

    optimizer = stepping(rule)([torch.nn.Parameter(torch.eye(64))])
    assert "rank of the gradient" in judged(optimizer).reason
    assert judged(optimizer, ((4, 64), (4, 128))).family == "muon"  # whose rank stays


def test_a_step_that_changes_the_gradient_for_the_one_it_inherits_is_measured() -> None:
    class Signed(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                for p in group["params"]:
                    p.grad.sign_()
            return super().step(closure)

    class Distributed(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            torch.distributed.all_reduce(self.param_groups[0]["params"][0].grad)
            return super().step(closure)

    assert judged(Signed([torch.nn.Parameter(torch.randn(64, 64))])).family == "adam"
    found = judged(Distributed([torch.nn.Parameter(torch.randn(64, 64))]))
    assert (found.family, "a step by itself raised" in found.reason) == ("unknown", True)


def test_what_orthogonalises_says_nothing_of_vectors_that_it_refuses() -> None:
    def rule(g: torch.Tensor, p: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        assert g.dim() > 1
        return polar(g)

    optimizer = stepping(rule, "Muon")([torch.nn.Parameter(torch.randn(64)), torch.nn.Parameter(torch.randn(64, 64))])
    assert judged(optimizer, ((64,), (128,))).family == "unknown"


@pytest.mark.parametrize("name", ["Muon", "AdamW", "Adafactor", "SGD"])
def test_torchs_own_steps_are_known_and_not_measured(name: str) -> None:
    weight = torch.nn.Parameter(torch.randn(4, 4))
    assert steps_of(getattr(torch.optim, name)([weight], lr=0.1), 1.0).plain


def root_of(sums: torch.Tensor, power: float) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(sums)
    kept = values > 1e-10 * values.max()
    return (vectors * torch.where(kept, values.clamp(min=1e-300) ** power, 0.0)) @ vectors.mT


def shampoo(left: float, right: float) -> Rule:
    """L^-left · G · R^-right of single gradients."""

    def rule(g: torch.Tensor, p: torch.Tensor, state: dict[str, Any]) -> torch.Tensor:
        if g.dim() != 2 or not g.any():
            return g
        update = root_of(g @ g.mT, -left) @ g if left else g
        return update @ root_of(g.mT @ g, -right) if right else update

    return rule


@pytest.mark.parametrize(
    ("left", "right", "gradient", "shape"),
    [
        (0.25, 0.25, 0.0, -1.0),  # the polar factor: of norm 1, over n × n entries
        (0.5, 0.0, 0.0, -1.0),  # from one side
        (0.125, 0.125, 0.5, -0.5),  # g^(1 − 2E) with E = 1/4: the root of the norm, n^1/2 of n entries of size 1
    ],
)
def test_shampoo_by_its_exponent_and_its_sides(left: float, right: float, gradient: float, shape: float) -> None:
    how = judged(kept(shampoo(left, right)))
    assert (how.law, how.shape, how.orthogonal) == (Law(gradient), shape, gradient == 0)


def test_shampoo_that_inverts_the_gradient_follows_its_smallest_directions() -> None:
    assert "rank of the gradient" in judged(kept(shampoo(0.5, 0.5))).reason


def test_an_update_relative_to_the_spectral_norm_of_a_weight() -> None:
    """On a sphere of that norm: lr times the norm of the weight, which is n^1/2 for entries of one size."""

    class Sphere(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for p in (p for p in self.param_groups[0]["params"] if p.grad.any()):
                radius = torch.linalg.matrix_norm(p, 2)
                p.sub_(self.param_groups[0]["lr"] * radius * polar(p.grad))
                p.mul_(radius / torch.linalg.matrix_norm(p, 2))

    how = judged(Sphere([torch.nn.Parameter(torch.randn(64, 64))], {"lr": 1e-3}))
    assert (how.family, how.law, how.shape, how.orthogonal) == ("muon", Law(size=1.0), -0.5, True)


class Sam(torch.optim.Optimizer):
    """Steps from where the gradient is larger; `step` needs the closure that it does not ask for."""

    def __init__(self, params: Any, cls: Any) -> None:
        super().__init__(params, {"rho": 0.05, "lr": 1e-3})
        self.base = cls(self.param_groups, lr=1e-3)
        self.param_groups = self.base.param_groups

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        held = [p for group in self.param_groups for p in group["params"]]
        before = [p.clone() for p in held]
        norm = sum(p.grad.square().sum() for p in held) ** 0.5
        for p in held:
            p.add_(0.05 * p.grad / (norm + 1e-12))
        torch.enable_grad()(closure)()
        for p, value in zip(held, before, strict=True):
            p.copy_(value)
        self.base.step()


class Lookahead:
    """Keeps copies of the weights from the start, of their shapes."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.param_groups, self.steps = inner, inner.param_groups, 0
        self.slow = [[p.detach().clone() for p in group["params"]] for group in inner.param_groups]

    def step(self, closure: Any = None) -> None:
        self.inner.step()
        self.steps += 1
        for group, slow in zip(self.param_groups, self.slow, strict=True):
            for p, kept in zip(group["params"], slow, strict=True) if self.steps % 5 == 0 else ():
                kept.add_(p.detach() - kept, alpha=0.5)
                p.data.copy_(kept)


@pytest.mark.parametrize(("cls", "family"), [(torch.optim.AdamW, "adam"), (torch.optim.SGD, "sgd")])
def test_optimizers_around_others_step_as_these_do(cls: Any, family: str) -> None:
    assert judged(Sam([torch.nn.Parameter(torch.randn(64, 64))], cls)).family == family
    narrow, wide = (Lookahead(cls([torch.nn.Parameter(torch.randn(n, n))], lr=1e-3)) for n in (64, 128))
    how = Steps(narrow, math.log(2), wide).of(0, ((64, 64), (128, 128)), (1.0, 1.0))
    assert (how.family, narrow.steps, wide.steps) == (family, 0, 0)


class ValueEmbedding(nn.Module):
    """What an embedding adds to the values of a layer, both then mixed by a weight that starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tokens, self.values = nn.Embedding(16, width), nn.Embedding(16, width)
        self.v, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)
        for layer, std in (
            (self.tokens, 1.0),
            (self.values, width**-0.5),
            (self.v, width**-0.5),
            (self.head, 1 / width),
        ):
            nn.init.normal_(layer.weight, std=std)
        nn.init.zeros_(self.out.weight)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = F.layer_norm(self.tokens(tokens), (self.tokens.embedding_dim,))
        x = x + self.out(self.v(x) + self.values(tokens))
        return self.head(F.layer_norm(x, (x.shape[-1],)))


def test_what_is_trained_by_steps_that_nobody_knows_is_not_blamed_for_its_neighbour() -> None:
    """values, an input weight, starts and learns n^1/2 too small; of v and out the init alone is known, and right."""

    def optimizer(model: ValueEmbedding) -> torch.optim.Optimizer:
        m = model.head.in_features / 64
        by_norm = lambda g, p, group: g / (g.norm() + 1e-30) if group["matrices"] else g.sign()  # noqa: E731
        made = stepping(by_norm, matrices=False)
        return made([
            {"params": [model.v.weight, model.out.weight], "matrices": True},
            {"params": [model.tokens.weight]},
            {"params": [model.values.weight], "lr": 1e-3 * m**-0.5},
            {"params": [model.head.weight], "lr": 1e-3 / m},
        ])  # fmt: skip

    report = muaudit.check(
        ValueEmbedding,
        batch=lambda width: torch.arange(16),
        loss=lambda out, batch: F.cross_entropy(out, batch % 4),
        optimizer=optimizer,
        widths=(64, 128),
    )
    assert {u.name for u in report.unanalysed} == {"v.weight", "out.weight"}
    wrong = [v for v in report.violations if v.severity != "advice"]
    assert {name for v in wrong for name in v.tensors} == {"values.weight"}
