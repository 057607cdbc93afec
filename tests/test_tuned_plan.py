"""What a search has found stands in the plan as constants, and everything that takes a plan carries it."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from program import exit_code
from torch import nn

from muaudit.audit import audit
from muaudit.convert.planner import make_plan
from muaudit.convert.python_module import module_text
from muaudit.errors import UserError
from muaudit.plan.file import load_plan, write_plan
from muaudit.plan.plan import Plan
from muaudit.plan.planned import planned
from muaudit.sweep import prepare
from muaudit.sweep.forward import find_places
from muaudit.sweep.split_groups import split_off
from muaudit.sweep.trainings import TrainingSettings
from muaudit.sweep.variant import SweepVariant
from muaudit.targets import Target, TargetOptions, resolve
from muaudit.transfer.carry import as_plan, carry
from muaudit.tune.tuned_plan import with_tuned

VALUES = {"lr": 0.01, "weight_decay": 0.2, "beta2": 0.95, "init": 2.0, "readout": 0.5, "embedding": 3.0,
          "attention": 1.5, "embedding_lr": 2.5, "gain_lr": 0.5, "bias_lr": 4.0}  # fmt: skip


def found_in(target: Target, values: dict[str, float], width: int = 256) -> Plan:
    plan = make_plan(target, 64, width)
    names = [name for name, _ in target.build(target.sizes(0), 0).named_modules() if name]
    return with_tuned(plan, values, lambda: find_places(target), names)


@pytest.fixture(scope="module")
def gpt() -> Target:
    return resolve("fixtures/gpt/sp.py", TargetOptions(set={"vocab_size": 32, "block_size": 16}))


def losses(target: Target, model: nn.Module, optimizer: torch.optim.Optimizer) -> list[float]:
    found = []
    for _ in range(3):
        inputs = target.inputs(target.sizes(0))
        loss = target.loss(model(*inputs.args, **inputs.kwargs), inputs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def test_at_the_base_it_trains_as_the_model_with_these_hyperparameters_does(gpt: Target, tmp_path: Path) -> None:
    """Turned by hand on one side (the multipliers of a sweep), out of the plan's file on the other."""
    settings = TrainingSettings(steps=3, batch_size=2)
    by_hand = prepare.variant(prepare.ORIGINAL, gpt, settings)
    expected = losses(gpt, *by_hand.make(64, VALUES, 0))
    write_plan(found_in(gpt, VALUES), tmp_path / "plan.yaml")
    plan = load_plan(tmp_path / "plan.yaml")
    converted = prepare.variant(prepare.CONVERTED, gpt, settings, plan)
    assert losses(gpt, *converted.make(64, {"lr": VALUES["lr"]}, 0)) == pytest.approx(expected, rel=1e-6)
    assert losses(gpt, *by_hand.make(64, {"lr": VALUES["lr"]}, 0)) != pytest.approx(expected, rel=1e-3)


def factor_on_rate(name: str) -> float:
    """By the names in the GPT's source: its tables, the weights of its norms, and all biases."""
    if name.endswith(("wte.weight", "wpe.weight")):
        return 2.5
    return 4.0 if name.endswith(".bias") else 0.5 if ".ln_" in name else 1.0


def test_constants_are_at_every_width_and_no_exponent_changes(gpt: Target) -> None:
    plan = found_in(gpt, VALUES)
    plain = make_plan(gpt, 64, 256)
    for width in (64, 256):
        for own, other in zip(plan.at(width).entries, plain.at(width).entries, strict=True):
            before, after = plain.at(width).scales_of(other), plan.at(width).scales_of(own)
            assert after[0] == (2.0 if len(own.shape) >= 2 else 1.0) * before[0]
            assert after[1] == pytest.approx(factor_on_rate(own.pattern) * before[1])
            assert after[2:] == before[2:]
    assert {(h.module, h.on): plan.multiplier(h) for h in plan.hooks} == {
        ("transformer.h.*.attn", "attention"): 1.5, ("transformer.wte", "output"): 3.0,
        ("transformer.wpe", "output"): 3.0, ("lm_head", "input"): 0.5,
    }  # fmt: skip
    report = audit(planned(gpt, plan))
    assert (report.verdict, report.count("error")) == ("mup", 0)


def test_a_multiplier_that_is_there_takes_the_constant(gpt: Target) -> None:
    plan = make_plan(gpt, 64, 256, formulation="table8")
    found = with_tuned(plan, {"lr": 0.1, "readout": 0.5}, lambda: find_places(gpt), ["lm_head"])
    (head,) = [hook for hook in found.hooks if hook.module == "lm_head"]
    assert (head.exponent, found.multiplier(head)) == (-1.0, 0.125)
    again = with_tuned(found, {"lr": 0.1}, lambda: find_places(gpt), ["lm_head"])
    assert again.hooks == plan.hooks


def test_param_groups_and_verify_take_what_was_found(gpt: Target) -> None:
    plan = found_in(gpt, VALUES, 64)
    model = plan.apply_(gpt.build(gpt.sizes(0), 0), force=True)
    groups = plan.param_groups(model)
    assert {(g["weight_decay"], g["betas"]) for g in groups if "no decay" not in g["name"]} == {(0.2, (0.9, 0.95))}
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.01 * factor_on_rate(name))
    assert plan.verify(model, torch.optim.AdamW(groups)).parameters == 28
    with pytest.raises(UserError, match="param_groups needs lr"):
        make_plan(gpt, 64, 64).param_groups(gpt.build(gpt.sizes(0), 0))


def test_a_constant_that_was_edited_alone_is_noticed(gpt: Target, tmp_path: Path) -> None:
    write_plan(found_in(gpt, VALUES), path := tmp_path / "plan.yaml")
    text = path.read_text()
    for what, other in (("constant: 0.5", "constant: 0.25"), ("constants: {init: 2.0}", "constants: {init: 3.0}"),
                        ("constants: {init: 2.0}", "constants: {inits: 2.0}")):  # fmt: skip
        path.write_text(text.replace(what, other, 1))
        with pytest.raises(UserError, match="is no complete plan"):
            load_plan(path)


def test_transfer_carries_it() -> None:
    mlp = resolve("fixtures/mlp/sp.py", TargetOptions())
    values = {"lr": 0.01, "beta2": 0.95, "init": 2.0, "bias_lr": 3.0}
    done = carry(found_in(mlp, values), 64, 1024, {"weight_decay": 0.1})
    other = carry(make_plan(mlp, 64, 256), 64, 1024, {"lr": 0.01})
    assert (done.given["lr"], done.constant["beta2"]) == (0.01, 0.95)
    stds, before = ({k: v for g in each.groups for k, v in g.stds.items()} for each in (done, other))
    assert stds["hidden.*.weight"] == pytest.approx(2 * before["hidden.*.weight"])
    assert stds["hidden.*.bias"] == before["hidden.*.bias"]
    rates = {pattern: group.values["lr"] for group in done.groups for pattern in group.tensors}
    assert rates == pytest.approx({
        "embed.weight": 0.01, "embed.bias": 0.03, "hidden.*.weight": 0.01 / 16, "hidden.*.bias": 0.03,
        "readout.weight": 0.01 / 16, "readout.bias": 0.03,
    })  # fmt: skip


def test_the_module_without_muaudit_has_it_too(tmp_path: Path) -> None:
    target = resolve("fixtures/mlp/sp.py", TargetOptions())
    plan = found_in(target, {"lr": 0.01, "init": 2.0, "readout": 0.5, "embedding_lr": 3.0})
    (tmp_path / "made.py").write_text(module_text(plan, "made"))
    made, sizes = runpy.run_path(str(tmp_path / "made.py")), {"width": 256}
    ours, theirs = target.build(sizes, 0), plan.apply_(target.build(sizes, 0))
    made["apply_"](ours)
    x = torch.randn(4, 16)
    assert torch.equal(ours(x), theirs(x))
    groups = made["param_groups"](ours, lr=0.01), plan.param_groups(theirs)
    rates = [sorted((round(each["lr"], 9), len(each["params"])) for each in found) for found in groups]
    assert rates[0] == rates[1]
    assert {rate for rate, _ in rates[0]} == {0.03, 0.01, 0.0025}
    with pytest.raises(UserError, match="attention logits is installed by muaudit alone"):
        module_text(replace(plan, hooks=(replace(plan.hooks[0], on="attention"),)), "made")


def test_tune_writes_it_and_the_sweep_of_the_plan_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fixture = str(Path("fixtures/mlp/sp.py").resolve())
    monkeypatch.chdir(tmp_path)
    flags = "--data", "teacher", "--steps", "4", "--lr", "2^-8,2^-7", "--hp", "init=1,2", "--grid", "--finalists", "1"
    assert exit_code("tune", fixture, "--at", "32", *flags, "--longer", "1", "--plan", "plan.yaml",
                     "--target-width", "128", "--format", "json") == 0  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    assert [(each["lr"], each["init"]) for each in report["samples"]] == [
        (2**-8, 1.0), (2**-8, 2.0), (2**-7, 1.0), (2**-7, 2.0)
    ]  # fmt: skip
    best = report["finalists"][0]["values"]
    plan = load_plan("plan.yaml")
    assert (report["plan"], plan.base_width, plan.width, dict(plan.tuned)) == ("plan.yaml", 32, 128, {"lr": best["lr"]})
    assert {entry.constants.init for entry in plan.entries if len(entry.shape) == 2} == {best["init"]}
    assert exit_code("tune", fixture, "--at", "64", *flags, "--longer", "1", "--plan", "plan.yaml") == 2
    assert "plan.yaml has the base width 32, the search was made at 64" in capsys.readouterr().err


def test_the_identity_of_a_sweep_tells_constants_apart(gpt: Target) -> None:
    def identity(plan: Plan) -> object:
        variant = SweepVariant("converted", "", gpt, prepare.choose(gpt, "text", 2), plan)
        return prepare.identity([variant], TrainingSettings(), {})["converted"]["plan"]

    plain, found, rate = make_plan(gpt, 64, 256), found_in(gpt, {"lr": 0.1, "init": 2.0}), found_in(gpt, {"lr": 0.2})
    assert identity(plain) != identity(found)
    assert identity(plain) == identity(rate)


def test_a_transfer_is_a_plan_that_convert_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Batch and duration by the recipe's square roots (2512.22382): m_S = 400 / 8 = 50."""
    fixture = str(Path("fixtures/mlp/sp.py").resolve())
    monkeypatch.chdir(tmp_path)
    sizes = ["--from", "width=64,batch=0.5M,tokens=2.5B", "--to", "width=512,batch=4M,tokens=1T"]
    given = ["--recipe", "complete-dp", "--set", "lr=3e-3,wd=0.1,beta2=0.95"]
    assert exit_code("transfer", fixture, *sizes, *given, "--format", "plan", "--output", "carried.yaml") == 0
    plan = load_plan("carried.yaml")
    tuned = dict(plan.tuned)
    assert (plan.base_width, plan.width) == (64, 512)
    assert tuned == pytest.approx({"lr": 3e-3 / 50**0.5, "weight_decay": 0.1 / 50**0.5, "beta2": 1 - 0.05 / 50})
    fresh = make_plan(resolve(fixture, TargetOptions()), 64, 512)
    starts = [[each.start and each.start.rms for each in found.entries] for found in (plan, fresh)]
    assert starts[0] == [own and pytest.approx(own, rel=0.01) for own in starts[1]]
    capsys.readouterr()
    assert exit_code("convert", fixture, "--plan", "carried.yaml", "--emit", "json", "--no-state-dict") == 0
    assert "audited as converted: no errors" in capsys.readouterr().out
    assert dict(load_plan("mup/plan.yaml").tuned) == tuned
    (emitted,) = (path for path in Path("mup").iterdir() if path.suffix == ".json")
    assert "512" in emitted.read_text()
    assert exit_code("convert", fixture, "--plan", "carried.yaml", "--base-width", "32") == 2
    assert "--plan and --base-width: a plan has its own" in capsys.readouterr().err
    assert (
        exit_code("transfer", fixture, "--from", "64", "--to", "512", "--set", "dropout=0.1", "--format", "plan") == 2
    )
    assert "a plan has no place for dropout" in capsys.readouterr().err


def test_starts_of_a_plan_between_other_widths_are_those_there() -> None:
    mlp = resolve("fixtures/mlp/sp.py", TargetOptions())
    moved = as_plan(carry(make_plan(mlp, 64, 256), 128, 1024, {"lr": 0.1}))
    starts = {each.pattern: each.start.rms for each in moved.entries if each.start is not None}
    drawn = mlp.build({"width": 128}, 0).hidden[0].weight.detach().std().item()  # type: ignore[index, union-attr]
    assert starts["hidden.*.weight"] == pytest.approx(drawn, rel=0.03)


DEEP = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))

class Net(nn.Module):
    def __init__(self, width=64, n_layer=2):
        super().__init__()
        self.embed, self.norm, self.head = nn.Linear(8, width), nn.LayerNorm(width), nn.Linear(width, 4)
        self.blocks = nn.ModuleList(Block(width) for _ in range(n_layer))

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))
"""


def test_a_search_at_a_small_depth_gives_a_plan_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.py").write_text(DEEP)
    monkeypatch.chdir(tmp_path)
    flags = "--data", "teacher", "--steps", "4", "--lr", "2^-8,2^-7", "--grid", "--finalists", "1", "--longer", "1"
    large = "--target-width", "64", "--target-depth", "3", "--target-steps", "100", "--plan", "plan.yaml"
    assert exit_code("tune", "model.py", "--at", "16", "--at-depth", "1", *flags, *large, "--hp", "gain_lr=2",
                     "--format", "json") == 0  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    plan = load_plan("plan.yaml")
    assert (report["width"], report["depth"], plan.base_depth, plan.depth, plan.width) == (16, 1, 1, 3, 64)
    # 2n² + 4n in a block, 15n + 4 around them: 820 at (16, 1), 26,308 at (64, 3); five runs of 4 steps
    assert report["share_of_target"] == pytest.approx(5 * 4 * 820 / (100 * 26308))
    gain = next(entry for entry in plan.entries if entry.pattern == "blocks.*.norm.weight")
    assert plan.scales_of(gain)[1] == 2.0
    for wrong, words in (
        (("--at", "16"), "plan.yaml has the base depth 1, the search was made at the model's own"),
        (("--at", "16", "--at-depth", "2"), "plan.yaml has the base depth 1, the search was made at 2"),
        (("--at", "16", "--at-depth", "none"), "expected a number of blocks, found 'none'"),
        (("--at", "16", "--target-depth", "3"), "--target-depth needs --at-depth"),
    ):
        assert exit_code("tune", "model.py", *wrong, *flags, "--plan", "plan.yaml") == 2
        assert words in capsys.readouterr().err
    few = "--data", "teacher", "--lr", "2^-8,2^-7", "--steps", "3", "--seeds", "1"
    assert exit_code("sweep", "model.py", "--plan", "plan.yaml", "--widths", "16,64", "--depths", "1,3", *few) == 0


def test_groups_of_named_parameters_are_cut_with_their_names() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8))
    optimizer = torch.optim.AdamW(model.named_parameters(), lr=0.1)
    own = split_off(optimizer, optimizer.param_groups[0], {id(model[1].weight)})
    assert own is not None
    assert (own["param_names"], own["lr"]) == (["1.weight"], 0.1)
    names = [group["param_names"] for group in optimizer.param_groups]
    assert names == [["0.weight", "0.bias", "1.bias"], ["1.weight"]]
    assert split_off(optimizer, optimizer.param_groups[0], {id(model[1].weight)}) is None
