"""Plans: standard models become µP, the base width stays as it was, nothing is applied twice or to another model."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from bugs.plant import FIXTURES, fixture, load
from matrix import matrix
from test_fixtures import FAMILIES, plain_builder
from torch import nn
from torch.nn import functional as F

import muaudit
from muaudit.audit import audit
from muaudit.convert.planner import make_plan
from muaudit.errors import UserError
from muaudit.plan.file import write_plan
from muaudit.plan.planned import planned
from muaudit.targets import Target, TargetOptions, from_functions, resolve

BASE = 64
AT_256 = {"n": 256}  # plain_builder calls the width n


def target_of(family: str, optimizer: str) -> Target:
    """The standard-parametrization fixture of a family."""
    sibling = fixture(f"{family}/table8")
    return from_functions(
        plain_builder(family), batch=sibling.batch, loss=sibling.loss, optimizer=optimizer, widths=sibling.widths
    )


def losses(target: Target, model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, width: int) -> list[float]:
    sizes = {target.axes[0].name: width}
    inputs = target.inputs(sizes)
    out = []
    for _ in range(steps):
        value = target.loss(model(*inputs.args, **inputs.kwargs), inputs)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        out.append(value.item())
    return out


@pytest.mark.parametrize(("family", "optimizer"), matrix(FAMILIES, ["adamw", "adam", "sgd", "rmsprop"]))
def test_a_converted_model_is_mup(family: str, optimizer: str) -> None:
    target = target_of(family, optimizer)
    assert audit(target).count("error")
    plan = make_plan(target, BASE, 1024)
    report = audit(planned(target, plan))
    assert (report.verdict, report.count("error"), report.unanalysed) == ("mup", 0, ())
    assert plan.hooks == ()  # tied heads and fused projections included


@pytest.mark.parametrize(("family", "optimizer"), matrix(FAMILIES, ["adamw", "sgd"]))
def test_a_plan_for_mup_changes_nothing(family: str, optimizer: str) -> None:
    """What was converted needs no second conversion: all init scales are 1."""
    target = target_of(family, optimizer)
    plan = make_plan(target, BASE, 1024)
    again = make_plan(planned(target, plan), BASE, 1024)
    assert {entry.pattern: entry.init for entry in again.entries if entry.init} == {}
    assert {e.pattern: e.lr for e in again.entries} == {e.pattern: e.lr for e in plan.entries}


@pytest.mark.parametrize("name", ["mlp/table3", "gpt/table8", "llama/table9", "resnet/table3"])
def test_mup_fixtures_keep_their_init(name: str) -> None:
    subject = fixture(name)
    target = from_functions(
        subject.build, batch=subject.batch, loss=subject.loss, optimizer=subject.optimizer, widths=subject.widths
    )
    plan = make_plan(target, subject.base, 1024)
    assert audit(planned(target, plan)).count("error") == 0


@pytest.mark.parametrize(("family", "optimizer"), [("mlp", "sgd"), ("gpt", "adamw"), ("llama", "sgd")])
def test_the_base_width_trains_bit_for_bit_as_before(family: str, optimizer: str) -> None:
    target = target_of(family, optimizer)
    plan = make_plan(target, BASE, BASE)
    sizes = {target.axes[0].name: BASE}
    before = target.build(sizes, 3)
    after = plan.apply_(target.build(sizes, 3))
    groups = plan.param_groups(after, lr=0.01, weight_decay=0.1)
    assert len(groups) == 1
    cls: Callable[..., torch.optim.Optimizer] = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer]
    old = losses(target, before, cls(before.parameters(), lr=0.01, weight_decay=0.1), 20, BASE)
    new = losses(target, after, cls(groups, lr=0.01), 20, BASE)
    assert old == new
    assert old[-1] != old[0]


@pytest.mark.parametrize("width", [32, 512])
def test_attention_goes_into_the_queries_and_the_readout_into_the_head(width: int) -> None:
    plan = make_plan(target_of("llama", "adamw"), BASE, width)
    entries = {entry.pattern: entry for entry in plan.entries}
    m = width / BASE
    query, key, head = (
        entries[name] for name in ("layers.*.attention.wq.weight", "layers.*.attention.wk.weight", "output.weight")
    )
    assert (plan.scale(query.init), plan.scale(query.lr)) == pytest.approx((m**-0.5, m**-1.5))
    assert (plan.scale(key.init), plan.scale(key.lr)) == pytest.approx((1.0, 1 / m))
    assert (plan.scale(head.init), plan.scale(head.lr)) == pytest.approx((m**-0.5, 1 / m))  # init was n^-1/2 already


def test_a_tied_head_goes_into_the_last_norm() -> None:
    for optimizer, gain_lr in (("adamw", -1.0), ("sgd", -1.0)):
        entries = {e.pattern: e for e in make_plan(target_of("gpt", optimizer), BASE, 512).entries}
        assert (entries["transformer.ln_f.weight"].init, entries["transformer.ln_f.weight"].lr) == (-1.0, gain_lr)
        assert entries["transformer.ln_f.bias"].lr == gain_lr
        assert entries["transformer.wte.weight"].init == 0.0


def test_eps_and_weight_decay_move_along() -> None:
    model = target_of("mlp", "adamw").build(AT_256, 0)
    groups = make_plan(target_of("mlp", "adamw"), BASE, 256).param_groups(model, lr=0.01, weight_decay=0.1, eps=1e-8)
    assert len(groups) == 4
    for group in groups:
        assert group["lr"] == 0.01 * group["lr_scale"]
        assert group["lr"] * group["weight_decay"] == pytest.approx(0.001)
    hidden = next(g for g in groups if g["name"].startswith("hidden"))
    assert hidden["eps"] == pytest.approx(1e-8 / 4)
    scheduler = torch.optim.lr_scheduler.LambdaLR(torch.optim.AdamW(groups), lambda step: 0.5)
    assert scheduler.get_last_lr() == [pytest.approx(0.5 * 0.01 * g["lr_scale"]) for g in groups]


def test_own_groups_are_refined() -> None:
    model = target_of("mlp", "adamw").build(AT_256, 0)
    plan = make_plan(target_of("mlp", "adamw"), BASE, 256)
    parameters = dict(model.named_parameters())
    vectors = [p for p in parameters.values() if p.dim() < 2]
    groups = plan.refine(model, [
        {"params": [p for p in parameters.values() if p.dim() > 1], "lr": 1.0, "weight_decay": 0.1, "name": "decay"},
        {"params": vectors, "lr": 0.5, "weight_decay": 0.0},
    ])  # fmt: skip
    assert sum(len(g["params"]) for g in groups) == len(parameters)
    assert sorted({round(g["lr"], 6) for g in groups}) == [0.25, 0.5, 1.0]
    assert all(g["weight_decay"] == 0.0 for g in groups if any(p is v for p in g["params"] for v in vectors))


# -- what can go wrong ----------------------------------------------------------------------------------------
def test_a_plan_is_applied_once() -> None:
    target = target_of("mlp", "adamw")
    plan = make_plan(target, BASE, 256)
    model = plan.apply_(target.build(AT_256, 0))
    for other in (model, copy.deepcopy(model)):
        for apply in (plan.apply_, plan.install_hooks):
            with pytest.raises(UserError, match="applied to this model before"):
                apply(other)
    assert not any(hasattr(p, "_muaudit_plan") for p in model.parameters())
    assert list(model.state_dict()) == list(target.build(AT_256, 0).state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m.register_parameter("extra", nn.Parameter(torch.zeros(3))),
            "no entry for these parameters\n  extra",
        ),
        (lambda m: setattr(m, "readout", nn.Identity()), "no parameters by these names\n  readout.weight"),
        (lambda m: setattr(m, "readout", nn.Linear(128, 10)), "this plan is for width 256: readout.weight"),
        (lambda m: setattr(m.embed, "bias", nn.Parameter(torch.zeros(256, 1))), "embed.bias has another shape"),
    ],
)
def test_another_model_is_refused_and_left_alone(change: Callable[[Any], object], message: str) -> None:
    target = target_of("mlp", "adamw")
    plan = make_plan(target, BASE, 256)
    model = target.build(AT_256, 0)
    change(model)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UserError) as caught:
        plan.apply_(model)
    assert message in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    with pytest.raises(UserError):
        plan.param_groups(model, lr=0.1)


def test_a_deeper_model_fits_the_same_plan() -> None:

    module = load(FIXTURES / "mlp" / "sp.py")
    plan = make_plan(target_of("mlp", "adamw"), BASE, 256)
    assert len(plan.param_groups(plan.apply_(module.MLP(256, depth=7)), lr=0.1)) == 4


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = make_plan(target_of("gpt", "adamw"), BASE, 1024)
    write_plan(plan, tmp_path / "deep" / "plan.yaml")
    assert muaudit.load_plan(tmp_path / "deep" / "plan.yaml") == plan
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["plan.yaml"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("muaudit.plan/1", "muaudit.plan/9"), "has the version 'muaudit.plan/9'"),
        (("base_width: 64", "base_width: zero"), "must be positive whole numbers"),
        (("optimizer: adamw\n", ""), "'optimizer' is missing"),
        (("init: 0.0, lr: -1.0", "init: 0.0, lr: -2.0"), "has lr_scale"),
        (("init: 0.0", "init: .nan"), "expected a small number"),
        (("schema:", "schema: [", ), "not YAML"),
        (("exponents:", "exponent:"), "its tensors are cut short"),
        (("hooks: []", ""), "'hooks' is missing"),
        (("notes: []", ""), "'notes' is missing"),
    ],
)  # fmt: skip
def test_a_spoilt_plan_is_refused(tmp_path: Path, edit: tuple[str, str], message: str) -> None:
    path = tmp_path / "plan.yaml"
    write_plan(make_plan(target_of("mlp", "adamw"), BASE, 1024), path)
    text = path.read_text()
    assert edit[0] in text
    path.write_text(text.replace(*edit, 1))
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        muaudit.load_plan(path)


def test_a_missing_plan(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        muaudit.load_plan(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot write"):
        write_plan(make_plan(target_of("mlp", "adamw"), BASE, 64), Path("/dev/null/plan.yaml"))


# -- the effect -----------------------------------------------------------------------------------------------
def slopes(
    target: Target, build: Callable[[Mapping[str, int], int], nn.Module], optimizer: Any, widths: list[int]
) -> dict[str, float]:
    """Slope over the width of the change of every module's output after 5 steps."""
    sizes: dict[str, list[float]] = {}
    for width in widths:
        named = {target.axes[0].name: width}
        model = build(named, 0)
        inputs, seen = target.inputs(named), dict[str, torch.Tensor]()
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear):
                module.register_forward_hook(
                    lambda m, a, out, into=seen, name=name: into.update({name: out.detach().clone()})
                )
        made = optimizer(model, named)
        with torch.no_grad():
            model(*inputs.args, **inputs.kwargs)
        start = dict(seen)
        losses(target, model, made, 5, width)
        with torch.no_grad():
            model(*inputs.args, **inputs.kwargs)
        for name, value in seen.items():
            sizes.setdefault(name, []).append(float((value - start[name]).square().mean().sqrt()))
    logs = torch.tensor([math.log(w) for w in widths]).double()
    centred = logs - logs.mean()
    return {n: float(centred @ torch.tensor(v).double().log() / (centred @ centred)) for n, v in sizes.items()}


@pytest.mark.parametrize("family", ["gpt", "mlp"])
def test_training_is_flatter_than_before(family: str) -> None:
    target, widths = target_of(family, "adamw"), [128, 256, 512]
    after = planned(target, make_plan(target, BASE, 512))
    old = slopes(target, target.build, target.optimizer, widths)
    new = slopes(target, after.build, after.optimizer, widths)
    assert max(abs(s) for s in new.values()) < max(abs(s) for s in old.values()) / 2
    assert sum(abs(s) for s in new.values()) < sum(abs(s) for s in old.values()) / 2


def test_sgd_from_a_readout_of_zeros_is_flat() -> None:
    """Within 0.1 of 0 at every layer; benchmarks/convert_effect.py measures the rest. Zeros: see there."""
    target, widths = target_of("mlp", "sgd"), [128, 256, 512]
    plan = make_plan(target, BASE, 512)

    def build(sizes: Mapping[str, int], seed: int) -> nn.Module:
        model: Any = plan.at(sizes["n"]).apply_(target.build(sizes, seed))
        nn.init.zeros_(model.readout.weight)
        return model

    def optimizer(model: nn.Module, sizes: Mapping[str, int]) -> torch.optim.Optimizer:
        return torch.optim.SGD(plan.at(sizes["n"]).param_groups(model, lr=0.1))

    found = slopes(target, build, optimizer, widths)
    assert max(abs(slope) for slope in found.values()) < 0.1, found


# -- multipliers that no gauge can carry ----------------------------------------------------------------------
class Tied(nn.Module):
    """A tied head behind a norm without a gain, and attention with normalised queries and keys."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(32, width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.query_norm, self.key_norm = (nn.RMSNorm(width, elementwise_affine=False) for _ in range(2))
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.head = nn.Linear(width, 32, bias=False)
        nn.init.normal_(self.embed.weight)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        h = self.norm(x)
        q, k = self.query_norm(self.query(h)), self.key_norm(self.key(h))
        x = x + self.out(F.scaled_dot_product_attention(q[:, None], k[:, None], self.value(h)[:, None])[:, 0])
        return self.head(self.norm(x))


def tied_target(optimizer: str = "adamw", cls: type[nn.Module] = Tied) -> Target:
    return from_functions(
        cls,
        batch=lambda width: torch.randint(32, (2, 8), generator=torch.Generator().manual_seed(0)),
        loss=lambda output, batch: F.cross_entropy(output.flatten(0, 1), batch.flatten()),
        optimizer=optimizer,
        widths=(64, 128),
    )


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_multipliers_are_hooked_where_no_tensor_can_carry_them(optimizer: str) -> None:
    target = tied_target(optimizer)
    plan = make_plan(target, BASE, 256)
    assert {(hook.module, hook.on, hook.exponent) for hook in plan.hooks} == {
        ("head", "input", -1.0), ("query_norm", "output", -0.5),
    }  # fmt: skip
    report = audit(planned(target, plan))
    assert (report.count("error"), report.unanalysed) == (0, ())


class Gained(Tied):
    """Queries and keys are normalised with gains, so that these can carry the attention factor."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.query_norm, self.key_norm = nn.RMSNorm(width), nn.RMSNorm(width)


@pytest.mark.parametrize(("optimizer", "lr"), [("adamw", -0.5), ("sgd", 0.0)])
def test_the_attention_factor_goes_into_the_gain_of_a_query_norm(optimizer: str, lr: float) -> None:
    """1/d in place of 1/sqrt(d) is m^-1/2 on the gain; its lr follows: C·θ for Adam, C·θ² for SGD."""
    target = tied_target(optimizer, Gained)
    plan = make_plan(target, BASE, 256)
    entries = {entry.pattern: (entry.init, entry.lr) for entry in plan.entries}
    assert entries["query_norm.weight"] == (-0.5, lr)
    assert entries["key_norm.weight"] == (0.0, lr + (0.5 if optimizer == "adamw" else 1.0))
    assert [(hook.module, hook.on) for hook in plan.hooks] == [("head", "input")]
    report = audit(planned(target, plan))
    assert (report.count("error"), report.unanalysed) == (0, ())


def test_hooks_copy_with_the_model_and_spare_the_state_dict(tmp_path: Path) -> None:
    target = tied_target()
    plan = make_plan(target, BASE, 256)
    sizes = {"width": 256}
    tokens = target.inputs(sizes).args[0]
    model = plan.apply_(target.build(sizes, 0))
    wanted = model(tokens)
    assert torch.equal(copy.deepcopy(model)(tokens), wanted)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    loaded = target.build(sizes, 5)
    loaded.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert not torch.equal(loaded(tokens), wanted)
    assert torch.equal(plan.install_hooks(loaded)(tokens), wanted)
    torch.save(model, tmp_path / "whole.pt")
    assert torch.equal(torch.load(tmp_path / "whole.pt", weights_only=False)(tokens), wanted)
    before, after = target.build({"width": 64}, 0), plan.at(64).apply_(target.build({"width": 64}, 0))
    assert torch.equal(before(tokens), after(tokens))


def test_weight_decay_that_groups_give_is_what_a_converted_target_is_trained_with() -> None:
    """nanoGPT: 0.1 for matrices and none for the rest, while AdamW's own default is 0.01."""
    target = resolve(str(FIXTURES / "gpt" / "sp.py"), TargetOptions())
    width = target.axes[0].probes[0]
    turned, sizes = planned(target, make_plan(target, width, width)), target.sizes(0)

    def decays(each: Target) -> set[tuple[float, int]]:
        model = each.build(sizes, 0)
        groups = each.optimizer(model, sizes).param_groups
        return {(group["weight_decay"], sum(p.numel() for p in group["params"])) for group in groups}

    assert decays(turned) == decays(target)
    assert {decay for decay, _ in decays(target)} == {0.1, 0.0}
