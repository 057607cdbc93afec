"""Plans over depth, alone and with widths: against CompleteP written by hand, and audited as converted."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from models import deep
from models import depth_traps as traps
from torch import nn
from torch.nn import functional as F
from typer.testing import CliRunner

from muaudit.audit import audit
from muaudit.audit.over_depth import audit_over_depth
from muaudit.convert.planner import make_plan, make_plans
from muaudit.convert.python_module import module_text
from muaudit.errors import UserError
from muaudit.parametrizations.profiles import COMPLETEP, DEPTH_MUP
from muaudit.plan.file import load_plan, write_plan
from muaudit.plan.plan import Plan
from muaudit.plan.planned import planned
from muaudit.plan.scales import FORMULATIONS
from muaudit.targets import Target, TargetOptions, from_functions, resolve

OFF = deep.Scheme(off=True)


def plain(name: str, optimizer: str = "adamw") -> Target:
    scheme = deep.Scheme(optimizer=optimizer, off=True)

    def build(width: int, depth: int = 2) -> nn.Module:
        return deep.MODELS[name](depth, scheme)

    made = muon_and_adamw if optimizer == "muon" else deep.optimizer
    return from_functions(build, batch=lambda: deep.batch(name), optimizer=made, widths=(32, 64), depths=(2, 4))


def muon_and_adamw(model: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest, as Muon is meant."""
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and deep.INSIDE.search(name)]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or not deep.INSIDE.search(name)]
    return [torch.optim.Muon(hidden, lr=0.02), torch.optim.AdamW(others, lr=1e-3)]


def trap(make: Callable[[int], nn.Module]) -> Target:
    def build(width: int, depth: int = 2) -> nn.Module:
        return make(depth)

    return from_functions(build, batch=traps.batch, widths=(32, 64), depths=(2, 4))


def plan_of(target: Target, depth: int = 8, base: int = 2, alpha: float = 1.0) -> Plan:
    profile = COMPLETEP if alpha == 1.0 else DEPTH_MUP
    return make_plan(target, None, 32, depths=(base, depth), profile=profile)


# the rest of all combinations takes half a minute
CONVERTED = [("gpt", "adamw", 1.0), ("llama", "sgd", 0.5), ("vit", "adamw", 0.5), ("encdec", "sgd", 1.0)]
MORE = [(name, optimizer, alpha) for name in deep.MODELS for optimizer in deep.OPTIMIZERS for alpha in (1.0, 0.5)
        if (name, optimizer, alpha) not in CONVERTED]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "optimizer", "alpha"), [*CONVERTED, *(pytest.param(*each, marks=pytest.mark.slow) for each in MORE)]
)
def test_a_model_that_ignores_depth_is_clean_as_converted(name: str, optimizer: str, alpha: float) -> None:
    target = plain(name, optimizer)
    plan = plan_of(target, alpha=alpha)
    assert plan.hooks == ()
    report = audit_over_depth(planned(target, plan), profile=plan.profile)
    assert [each.message for each in report.violations] == []
    assert report.verdict == "mup"


def trained(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 4) -> list[float]:
    losses = []
    for _ in range(steps):
        out = model(deep.batch("gpt"))
        loss = F.cross_entropy(out.flatten(0, 1), deep.batch("gpt").flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def seeded(depth: int, scheme: deep.Scheme) -> nn.Module:
    torch.manual_seed(0)
    return deep.Gpt(depth, scheme).double()


def adamw_by_hand(model: nn.Module, m: float) -> torch.optim.Optimizer:
    """CompleteP with 1/m in the forward (Table 1): no rate and no decay changes, eps × 1/m inside of blocks."""
    inside = [p for name, p in model.named_parameters() if deep.INSIDE.search(name)]
    rest = [p for name, p in model.named_parameters() if not deep.INSIDE.search(name)]
    groups = [{"params": inside, "eps": 1e-3 / m}, {"params": rest, "eps": 1e-3}]
    return torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.1)


def test_the_plan_trains_as_completep_in_the_forward_does() -> None:
    """AdamW with its eps and its decay, in float64; absorbed on one side, a constant in the forward on the other."""
    plan = plan_of(plain("gpt"))
    ours = plan.apply_(seeded(8, OFF), force=True)
    groups = plan.param_groups(ours, lr=1e-2, weight_decay=0.1, eps=1e-3)
    theirs = seeded(8, deep.Scheme())
    expected = trained(theirs, adamw_by_hand(theirs, 4.0))
    assert trained(ours, torch.optim.AdamW(groups, lr=1e-2)) == pytest.approx(expected, rel=1e-9)
    assert expected[-1] < expected[0]


def test_with_sgd_as_well() -> None:
    plan = plan_of(plain("gpt", "sgd"))
    ours, theirs = plan.apply_(seeded(8, OFF), force=True), seeded(8, deep.Scheme(optimizer="sgd"))
    expected = trained(theirs, deep.optimizer(theirs))  # type: ignore[arg-type]
    got = trained(ours, torch.optim.SGD(plan.param_groups(ours, lr=1e-3), lr=1e-3))
    assert got == pytest.approx(expected, rel=1e-9)


def test_at_the_base_depth_training_is_bit_identical() -> None:
    plan = plan_of(plain("gpt")).at(depth=2)
    ours = plan.apply_(seeded(2, OFF), force=True)
    groups = plan.param_groups(ours, lr=1e-2, weight_decay=0.1, eps=1e-3)
    theirs = seeded(2, OFF)
    expected = trained(theirs, adamw_by_hand(theirs, 1.0))
    assert trained(ours, torch.optim.AdamW(groups, lr=1e-2)) == expected


def test_what_follows_depth_already_stays() -> None:
    """1/sqrt(2L) in the init of the last layer is half of the way; a right model is left alone."""
    entries = {each.pattern: each for each in plan_of(trap(traps.root_in_init)).entries}
    assert entries["blocks.*.down.weight"].depth.init == -0.5
    assert entries["blocks.*.down.bias"].depth.init == -1.0
    assert all(not any(each.depth.exponents[:2]) for each in plan_of(trap(traps.completep)).entries)


def test_behind_a_norm_the_factor_goes_into_its_gain_or_into_a_hook() -> None:
    gained = plan_of(trap(traps.sandwich(True, True)))
    entries = {each.pattern: each for each in gained.entries}
    assert gained.hooks == ()
    assert entries["blocks.*.after.weight"].depth.init == -1.0
    bare = trap(traps.sandwich(True, False))
    plan = plan_of(bare)
    (hook,) = plan.hooks
    assert (hook.module, hook.on, hook.exponent, hook.depth) == ("blocks.*.after", "output", 0.0, -1.0)
    assert audit_over_depth(planned(bare, plan)).violations == ()


REFUSED: dict[str, tuple[Callable[[int], nn.Module], str]] = {
    "a loop": (traps.loop, "a loop over depth"),
    "post-norm": (traps.post_norm, r"no plan can be made over depth:(.|\n)*every sum is normalised"),
    "a constant on the stream": (traps.skip_scaled, r"depth_traps.py:\d+: .*multiplied by 0.9 in every block"),
    "a gain on the stream": (traps.skip_gain, "multiplied by a parameter in every block"),
    "the embedding into every block": (traps.embedding_into_every_block(0.0), "is the same in every block"),
    "a constant by place": (traps.constant_by_place, "depends on the place of the block"),
    "a head in the list of the blocks": (traps.in_one_list(0.0), "stands in one list with the blocks"),
    "a last block that is another": (
        lambda depth: traps.Net(
            [traps.Branch(depth / 2, -1.0 if place < depth - 1 else 0.0) for place in range(depth)], traps.added
        ),
        "scaled otherwise than its like",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_plan_can_bring_about_is_refused(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(UserError, match=words):
        plan_of(trap(make))


def test_an_init_by_the_place_of_the_block_is_told() -> None:
    plan = plan_of(trap(traps.init_by_place_alone))
    assert any("goes by the place of its block" in note for note in plan.notes)
    assert {e.pattern: e.depth.init for e in plan.entries}["blocks.*.down.weight"] == -1.0


@pytest.fixture(scope="module")
def both() -> tuple[Target, Plan]:
    target = resolve("fixtures/gpt/sp.py", TargetOptions())
    return target, make_plan(target, 64, 256, depths=(4, 32))


def test_width_and_depth_in_one_plan_are_clean_on_both(both: tuple[Target, Plan]) -> None:
    target, plan = both
    turned = planned(target, plan)
    assert [each for each in audit(turned).violations if each.severity == "error"] == []
    assert audit_over_depth(turned).violations == ()


def test_its_exponents_over_width_are_those_of_a_plan_over_width_alone(both: tuple[Target, Plan]) -> None:
    target, plan = both
    alone = {each.pattern: each.exponents for each in make_plan(target, 64, 256).entries}
    assert {each.pattern: each.exponents for each in plan.entries} == alone


def test_the_file_keeps_both_axes_and_files_before_it_are_read(tmp_path: Path, both: tuple[Target, Plan]) -> None:
    target, plan = both
    write_plan(plan, tmp_path / "plan.yaml")
    assert "schema: muaudit.plan/2" in (tmp_path / "plan.yaml").read_text()
    read = load_plan(tmp_path / "plan.yaml")
    assert (read.entries, read.hooks, read.m, read.m_depth) == (plan.entries, plan.hooks, 4.0, 8.0)
    write_plan(make_plan(target, 64, 256), tmp_path / "before.yaml")
    assert "schema: muaudit.plan/1" in (tmp_path / "before.yaml").read_text()
    with pytest.raises(UserError, match="does not go over depth"):
        load_plan(tmp_path / "before.yaml").at(depth=8)


def test_an_exponent_that_was_edited_alone_is_noticed(tmp_path: Path, both: tuple[Target, Plan]) -> None:
    write_plan(both[1], tmp_path / "plan.yaml")
    text = (tmp_path / "plan.yaml").read_text()
    edited = text.replace("depth_exponents: {init: -0.5", "depth_exponents: {init: -1.5", 1)
    (tmp_path / "plan.yaml").write_text(edited)
    assert edited != text
    with pytest.raises(UserError, match=r"and -1\.5 over depth gives"):
        load_plan(tmp_path / "plan.yaml")


def test_the_module_without_muaudit_does_the_same(tmp_path: Path) -> None:
    plan = plan_of(plain("gpt"))
    (tmp_path / "made.py").write_text(module_text(plan, "made"))
    made = runpy.run_path(str(tmp_path / "made.py"))
    ours, theirs = seeded(8, OFF), plan.apply_(seeded(8, OFF), force=True)
    made["apply_"](ours)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    found = [(g["lr"], g["eps"], len(g["params"])) for g in made["param_groups"](ours, lr=1.0, eps=1.0)]
    assert found == [(g["lr"], g["eps"], len(g["params"])) for g in plan.param_groups(theirs, lr=1.0, eps=1.0)]


GPT = """
import torch
from torch import nn
from torch.nn import functional as F

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

class Model(nn.Module):
    def __init__(self, width=64, n_layer=6):
        super().__init__()
        self.embed, self.head = nn.Linear(8, width), nn.Linear(width, 4)
        self.blocks = nn.ModuleList(Block(width) for _ in range(n_layer))

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = x + block.mlp(block.norm(x))
        return self.head(x)
"""


@pytest.fixture
def convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    from program import app

    (tmp_path / "model.py").write_text(GPT)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["convert", "model.py", "--no-state-dict", *arguments])
        return done.exit_code, done.output

    return run


def test_the_command_plans_for_the_models_own_depth_or_another(convert: Callable[..., tuple[int, str]]) -> None:
    code, text = convert("--base-depth", "2")
    assert code == 0
    assert "n_layer 2 → 6: m_L = 3, adamw" in text
    assert "audited as converted over depth: no errors" in text
    plan = load_plan("mup/plan.yaml")
    assert {e.pattern for e in plan.entries if e.depth.init} == {"blocks.*.mlp.2.weight", "blocks.*.mlp.2.bias"}
    own = runpy.run_path("model.py")["Model"]
    plan.apply_(own())
    with pytest.raises(UserError, match="blocks holds 5 blocks, the plan is for 6 = L"):
        plan.apply_(own(n_layer=5))
    plan.at(depth=5).apply_(own(n_layer=5))


def test_what_is_left_out_is_asked_for(convert: Callable[..., tuple[int, str]]) -> None:
    code, text = convert("--base-width", "32", "--depth", "8")
    assert (code, "--base-depth N says at how many blocks" in text) == (2, True)
    code, text = convert("--base-depth", "2", "--depth", "many")
    assert (code, "--depth expects a number of blocks, found 'many'" in text) == (2, True)
    code, text = convert("--base-depth", "2", "--depth", "layers=8")
    assert (code, "has no argument 'layers'" in text) == (2, True)


def test_a_run_with_the_rates_of_another_depth_is_told() -> None:
    plan = plan_of(plain("gpt"))
    model = plan.apply_(seeded(8, OFF), force=True)
    right = torch.optim.AdamW(plan.param_groups(model, lr=1e-2, weight_decay=0.1), lr=1e-2)
    assert plan.verify(model, right).parameters == len(list(model.parameters()))
    shallow = [{**group, "lr": 1e-2} for group in plan.param_groups(model, lr=1e-2, weight_decay=0.1)]
    with pytest.raises(UserError, match=r"depth 2 → 8:(.|\n)*down.weight \(×8\): lr 0.01, expected 0.0025 \(× 0.25\)"):
        plan.verify(model, torch.optim.AdamW(shallow, lr=1e-2))


# Exponents of m_L: (init, lr of AdamW, of SGD) of what is in a branch, its last weights apart; then the multipliers.
# Table 8 is Table 1 of CompleteP (its lr of SGD by a gradient that falls as 1/L); Table 9 is a square root beside it.
OVER_DEPTH = {
    "table3": {"up": (0, 0, 1), "down": (-1, -1, -1), "hooks": {}},
    "table8": {"up": (0, 0, 1), "down": (0, 0, 1), "hooks": {"blocks.*.mlp.down": -1}},
    "table9": {
        "up": (-1 / 2, -1 / 2, 0), "down": (-1 / 2, -1 / 2, 0),
        "hooks": {"blocks.*.mlp.down": -1 / 2, "blocks.*.mlp.up": 1 / 2},
    },
}  # fmt: skip


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_formulations_over_depth_train_alike_and_a_run_goes_from_one_to_another(optimizer: str, tmp_path: Path) -> None:
    """TP5 Lemma J.1 over depth: in float64, with an eps too small to matter; optimizer state and all."""
    target = plain("gpt", optimizer)
    plans = make_plans(target, None, 32, FORMULATIONS, depths=(2, 8))
    for plan in plans[1:]:
        expected = OVER_DEPTH[plan.formulation]
        entries = {each.pattern.removeprefix("blocks.*.mlp."): each.depth for each in plan.entries}
        for name in ("up", "down"):
            found = entries[f"{name}.weight"]
            assert (found.init, found.lr) == (expected[name][0], expected[name][2 if optimizer == "sgd" else 1])
        hooks = {hook.module: hook.depth for hook in plan.hooks if ".mlp." in hook.module}
        assert hooks == expected["hooks"]

    def made(plan: Plan, model: nn.Module) -> torch.optim.Optimizer:
        if optimizer == "sgd":
            return torch.optim.SGD(plan.param_groups(model, lr=1e-3, weight_decay=0.1), momentum=0.9)
        return torch.optim.AdamW(plan.param_groups(model, lr=1e-2, weight_decay=0.1, eps=1e-300))

    runs = []
    for plan in plans:
        write_plan(plan, tmp_path / "plan.yaml")
        read = load_plan(tmp_path / "plan.yaml")
        model = read.apply_(seeded(8, OFF), force=True)
        runs.append(trained(model, made(read, model), 12))
    assert runs[0][-1] < runs[0][0]
    for run in runs[1:]:
        assert run == pytest.approx(runs[0], rel=1e-9)
    model = plans[0].apply_(seeded(8, OFF), force=True)
    moving, found = made(plans[0], model), []
    for before, after in zip(plans, [*plans[1:], plans[0]], strict=True):
        found += trained(model, moving, 3)
        before.move_(model, moving, to=after)
    assert found == pytest.approx(runs[0], rel=1e-9)
    with pytest.raises(UserError, match="depth is 8 here and 16 there"):
        plans[0].move_(model, moving, to=plans[2].at(depth=16))


@pytest.mark.parametrize("formulation", ["table8", "table9"])
@pytest.mark.parametrize(("optimizer", "alpha"), [("adamw", 1.0), ("sgd", 0.5)])
def test_with_multipliers_over_depth_the_base_is_bit_identical_and_the_audit_clean(
    formulation: str, optimizer: str, alpha: float
) -> None:
    target, profile = plain("llama", optimizer), COMPLETEP if alpha == 1.0 else DEPTH_MUP
    plan = make_plan(target, None, 32, depths=(2, 8), profile=profile, formulation=formulation)
    assert plan.hooks
    report = audit_over_depth(planned(target, plan), profile=plan.profile)
    assert (report.verdict, report.violations, report.unanalysed) == ("mup", (), ())

    def losses(model: nn.Module, groups: list[dict[str, object]]) -> list[float]:
        made = torch.optim.SGD if optimizer == "sgd" else torch.optim.AdamW
        return trained(model, made(groups, lr=1e-2))

    def own() -> nn.Module:
        torch.manual_seed(0)
        return deep.MODELS["llama"](2, deep.Scheme(optimizer=optimizer, off=True))

    model = plan.at(depth=2).apply_(own(), force=True)
    ours = losses(model, plan.at(depth=2).param_groups(model, lr=1e-2, weight_decay=0.1))
    theirs = own()
    assert ours == losses(theirs, [{"params": list(theirs.parameters()), "weight_decay": 0.1}])


def test_formulations_go_over_width_and_depth_together(both: tuple[Target, Plan]) -> None:
    target, _ = both
    plan = make_plan(target, 64, 256, depths=(4, 32), formulation="table9")
    turned = planned(target, plan)
    assert [each for each in audit(turned).violations if each.severity == "error"] == []
    assert audit_over_depth(turned).violations == ()
    hooks = {(hook.module, hook.on): (hook.exponent, hook.depth) for hook in plan.hooks}
    assert hooks["lm_head", "input"] == (-0.5, 0.0)
    assert hooks["transformer.h.*.ln_1", "output"] == (0.5, 0.5)
    assert hooks["transformer.h.*.mlp.c_proj", "output"] == (0.5, -0.5)


def test_a_number_of_blocks_for_every_stage_has_no_one_base(tmp_path: Path) -> None:
    (tmp_path / "staged.py").write_text(STAGED)
    target = resolve(str(tmp_path / "staged.py"), TargetOptions())
    assert audit_over_depth(target).verdict == "standard"
    with pytest.raises(UserError, match="depths is a list, a number of blocks for every stage"):
        make_plan(target, None, 32, depths=(2, 8))


STAGED = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))

class Staged(nn.Module):
    def __init__(self, dim=64, depths=(2, 2, 6)):
        super().__init__()
        self.embed, self.head = nn.Linear(8, dim), nn.Linear(dim, 4)
        self.stages = nn.ModuleList(nn.ModuleList(Block(dim) for _ in range(depth)) for depth in depths)
        self.between = nn.ModuleList(nn.Linear(dim, dim) for _ in depths)

    def forward(self, x):
        x = self.embed(x)
        for stage, between in zip(self.stages, self.between):
            for block in stage:
                x = block(x)
            x = between(x)
        return self.head(x)
"""
