"""Trained checkpoints moved between formulations: the outputs stay, and training goes on as it would have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from bugs.plant import fixture
from safetensors.torch import load_file, save_file
from test_checkpoints import convert, prepared, save_sharded, tensors_of
from test_convert import BASE, losses, target_of
from test_fixtures import plain_builder
from torch import nn

from muaudit.checkpoints.stored_tensors import TensorFactor
from muaudit.convert.planner import make_plans
from muaudit.errors import UserError
from muaudit.plan.file import write_plan
from muaudit.plan.plan import Plan
from muaudit.plan.scales import FORMULATIONS
from muaudit.targets import Target, from_functions

WIDTH, LR = 96, 0.01
SIZES = {"n": WIDTH}
Optimizers = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@cache
def plans(family: str, optimizer: str) -> tuple[Target, dict[str, Plan]]:
    target = target_of(family, optimizer)
    return target, dict(zip(FORMULATIONS, make_plans(target, BASE, WIDTH, FORMULATIONS), strict=True))


def groups(plan: Plan, model: nn.Module) -> list[dict[str, Any]]:
    return plan.param_groups(model, lr=LR, weight_decay=0.1, eps=1e-30)


OPTIMIZERS: dict[str, tuple[str, Optimizers]] = {
    "adamw": ("adamw", lambda given: torch.optim.AdamW(given, lr=LR)),
    "amsgrad": ("adam", lambda given: torch.optim.Adam([{**g, "weight_decay": 0.0} for g in given], amsgrad=True)),
    "momentum": ("sgd", lambda given: torch.optim.SGD([{k: v for k, v in g.items() if k != "eps"} for g in given],
                                                      momentum=0.9, nesterov=True)),
    "rmsprop": ("rmsprop", lambda given: torch.optim.RMSprop([{**g, "weight_decay": 0.0} for g in given], momentum=0.9,
                                                             centered=True)),
}  # fmt: skip
JOURNEYS = [
    ("adamw", "absorbed", "table8"), ("adamw", "table8", "table9"), ("adamw", "table9", "absorbed"),
    ("amsgrad", "table3", "table9"), ("momentum", "table3", "table9"), ("momentum", "table9", "absorbed"),
    ("rmsprop", "absorbed", "table9"),
]  # fmt: skip


@pytest.mark.parametrize(("optimizer", "start", "end"), JOURNEYS)
def test_a_run_goes_on_in_another_formulation(optimizer: str, start: str, end: str, tmp_path: Path) -> None:
    """Fifteen steps, five of them after the move, give the losses of fifteen steps without one."""
    target, by_name = plans("gpt", OPTIMIZERS[optimizer][0])
    make, old, new = OPTIMIZERS[optimizer][1], by_name[start], by_name[end]
    model = old.apply_(target.build(SIZES, 3))
    running = make(groups(old, model))
    losses(target, model, running, 10, WIDTH)
    save_sharded(tensors_of(model), tmp_path / "in")
    torch.save(running.state_dict(), tmp_path / "optimizer.pt")
    write_plan(old, tmp_path / "in" / "plan.yaml")
    want = losses(target, model, running, 5, WIDTH)

    convert((target, new), tmp_path / "in", tmp_path / "out", fresh=False, function_preserving=True, verify=True,
            optimizer_state=tmp_path / "optimizer.pt")  # fmt: skip
    again = target.build(SIZES, 8)
    state = {}
    for file in (tmp_path / "out").glob("*.safetensors"):
        state.update(load_file(file))
    assert not again.load_state_dict(state, strict=False).unexpected_keys
    new.install_hooks(again)
    resumed = make(new.param_groups(again, lr=7.0))
    resumed.load_state_dict(torch.load(tmp_path / "out" / "optimizer.pt", weights_only=True))
    assert losses(target, again, resumed, 5, WIDTH) == pytest.approx(want, rel=1e-9)
    assert [g["lr"] for g in resumed.param_groups] == pytest.approx([g["lr"] for g in groups(new, again)])


def trained(target: Target, plan: Plan) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = plan.apply_(target.build(SIZES, 3))
    made = torch.optim.AdamW(groups(plan, model))
    losses(target, model, made, 3, WIDTH)
    return model, made


def test_weights_and_optimizer_in_one_file(tmp_path: Path) -> None:
    """A training script's own dict, learning rates in the middle of a schedule, float64 kept."""
    target, by_name = plans("gpt", "adamw")
    old, new = by_name["absorbed"], by_name["table9"]
    model, running = trained(target, old)
    schedule = torch.optim.lr_scheduler.LambdaLR(running, lambda step: 0.5)
    losses(target, model, running, 1, WIDTH)
    saved = {"model": model.state_dict(), "optimizer": running.state_dict(), "iter_num": 4}
    torch.save(saved, tmp_path / "ckpt.pt")
    write_plan(old, tmp_path / "plan.yaml")
    wanted = {"fresh": False, "function_preserving": True}
    with pytest.raises(UserError, match="holds an optimizer state as well as weights"):
        convert((target, new), tmp_path / "ckpt.pt", tmp_path / "out", **wanted)
    convert((target, new), tmp_path / "ckpt.pt", tmp_path / "out", optimizer_state=tmp_path / "ckpt.pt", **wanted)
    made = torch.load(tmp_path / "out" / "ckpt.pt", weights_only=True)
    assert (list(made), made["iter_num"]) == (list(saved), 4)
    again = target.build(SIZES, 8)
    again.load_state_dict(made["model"])
    new.install_hooks(again)
    resumed = torch.optim.AdamW(new.param_groups(again, lr=1.0))
    resumed.load_state_dict(made["optimizer"])
    assert [g["lr"] for g in resumed.param_groups] == pytest.approx([g["lr"] / 2 for g in groups(new, again)])
    assert [g["initial_lr"] for g in resumed.param_groups] == pytest.approx([g["lr"] for g in groups(new, again)])
    want = losses(target, model, running, 3, WIDTH)
    assert losses(target, again, resumed, 3, WIDTH) == pytest.approx(want, rel=1e-9)
    assert schedule.last_epoch == 0
    with pytest.raises(UserError, match="does not come from the plan given with --from"):
        convert((target, new), tmp_path / "out" / "ckpt.pt", tmp_path / "twice", old_plan=tmp_path / "plan.yaml",
                optimizer_state=tmp_path / "out" / "ckpt.pt", **wanted)  # fmt: skip


@pytest.mark.parametrize("names", [("", ""), ("decay", "rest")])
def test_groups_of_the_users_own(names: tuple[str, str], tmp_path: Path) -> None:
    """A target's own optimizer, its groups unnamed or named and in no order of the model's, refined by the plan."""
    sibling, build = fixture("gpt/table8"), plain_builder("gpt")

    def own(model: nn.Module) -> torch.optim.Optimizer:
        listed = list(model.parameters())[::-1]
        made = [
            {"params": [p for p in listed if p.dim() >= 2], "weight_decay": 0.1},
            {"params": [p for p in listed if p.dim() < 2], "weight_decay": 0.0},
        ]
        named = [{**group, "name": name} if name else group for group, name in zip(made, names, strict=True)]
        return torch.optim.AdamW(named, lr=LR, eps=1e-30)

    target = from_functions(build, batch=sibling.batch, loss=sibling.loss, optimizer=own, widths=sibling.widths)
    old, new = make_plans(target, BASE, WIDTH, ["absorbed", "table9"])
    model = old.apply_(target.build(SIZES, 3))
    running = torch.optim.AdamW(old.refine(model, own(model).param_groups))
    losses(target, model, running, 5, WIDTH)
    torch.save({"model": model.state_dict(), "optimizer": running.state_dict()}, tmp_path / "ckpt.pt")
    write_plan(old, tmp_path / "plan.yaml")
    want = losses(target, model, running, 5, WIDTH)
    convert((target, new), tmp_path / "ckpt.pt", tmp_path / "out", fresh=False, function_preserving=True,
            optimizer_state=tmp_path / "ckpt.pt")  # fmt: skip
    made = torch.load(tmp_path / "out" / "ckpt.pt", weights_only=True)
    again = target.build(SIZES, 8)
    again.load_state_dict(made["model"])
    new.install_hooks(again)
    resumed = torch.optim.AdamW(new.refine(again, own(again).param_groups))
    fresh = [(g["name"], g["lr"], g["weight_decay"]) for g in resumed.param_groups]
    resumed.load_state_dict(made["optimizer"])
    assert losses(target, again, resumed, 5, WIDTH) == pytest.approx(want, rel=1e-9)
    assert [g["name"] for g in resumed.param_groups] == [name for name, *_ in fresh]
    for group, (_, lr, decay) in zip(resumed.param_groups, fresh, strict=True):
        assert (group["lr"], group["weight_decay"]) == pytest.approx((lr, decay))


def test_states_by_name(tmp_path: Path) -> None:
    """As torch.distributed.checkpoint saves them: names for numbers, and wrappers' prefixes."""
    target, by_name = plans("gpt", "adamw")
    old, new = by_name["absorbed"], by_name["table9"]
    model, running = trained(target, old)
    names = {id(parameter): f"module.{name}" for name, parameter in model.named_parameters()}
    order = [names[id(p)] for group in running.param_groups for p in group["params"]]
    state = running.state_dict()
    state["state"] = {order[number]: values for number, values in state["state"].items()}
    for group in state["param_groups"]:
        group["params"] = [order[number] for number in group["params"]]
    torch.save(state, tmp_path / "optimizer.pt")
    save_file(tensors_of(model), tmp_path / "a.safetensors")
    write_plan(old, tmp_path / "plan.yaml")
    convert((target, new), tmp_path / "a.safetensors", tmp_path / "out", fresh=False, function_preserving=True,
            optimizer_state=tmp_path / "optimizer.pt")  # fmt: skip
    made = torch.load(tmp_path / "out" / "optimizer.pt", weights_only=True)
    old.move_(model, running, to=new)
    want = {names[id(parameter)]: values for parameter, values in running.state.items()}
    assert made["state"].keys() == want.keys()
    for name, values in want.items():
        for key in ("exp_avg", "exp_avg_sq"):
            assert torch.allclose(made["state"][name][key], values[key], rtol=1e-12, atol=0)
    assert sorted(name for group in made["param_groups"] for name in group["params"]) == sorted(want)


def test_the_wrong_source_is_refused(tmp_path: Path) -> None:
    target, by_name = plans("mlp", "adamw")
    save_file(tensors_of(target.build(SIZES, 3)), tmp_path / "a.safetensors")
    wanted = {"fresh": False, "function_preserving": True}
    subject = target, by_name["table8"]
    with pytest.raises(UserError, match="needs the plan that the checkpoint was trained by"):
        prepared(subject, tmp_path / "a.safetensors", tmp_path / "out", **wanted)
    for plan, message in (
        (by_name["table8"], "in the formulation table8 already"),
        (by_name["absorbed"].at(128), "differ in more than their formulation: width"),
        (plans("mlp", "sgd")[1]["absorbed"], "differ in more than their formulation: optimizer"),
    ):
        write_plan(plan, tmp_path / "plan.yaml")
        with pytest.raises(UserError, match=message):
            prepared(subject, tmp_path / "a.safetensors", tmp_path / "out", **wanted)


def test_optimizers_that_cannot_be_read(tmp_path: Path) -> None:
    target, by_name = plans("mlp", "adamw")
    old, new = by_name["absorbed"], by_name["table9"]
    model, running = trained(target, old)
    save_file(tensors_of(model), tmp_path / "a.safetensors")
    write_plan(old, tmp_path / "plan.yaml")
    state = running.state_dict()
    one = torch.optim.AdamW(model.parameters(), lr=LR)
    losses(target, model, one, 1, WIDTH)
    swapped = {**state, "state": {key: state["state"][len(state["state"]) - 1 - key] for key in state["state"]}}
    unknown = {**state, "state": {key: {**values, "ema": torch.ones(3)} for key, values in state["state"].items()}}
    spoilt = {**state, "state": {0: {**state["state"][0], "exp_avg": state["state"][0]["exp_avg"] * float("nan")}}}
    for content, message in (
        ({"weights": torch.ones(3)}, "it holds no optimizer state"),
        (one.state_dict(), "has one learning rate for what the plan tells apart"),
        (swapped, "cannot tell which state belongs to which parameter"),
        (unknown, "do not know how the optimizer state 'ema' follows the gradient"),
        (spoilt, r"exp_avg of \w+.* holds NaN or infinity"),
    ):
        torch.save(content, tmp_path / "optimizer.pt")
        with pytest.raises(UserError, match=message):
            convert((target, new), tmp_path / "a.safetensors", tmp_path / "out", fresh=False, function_preserving=True,
                    optimizer_state=tmp_path / "optimizer.pt")  # fmt: skip
        assert not (tmp_path / "out").exists()


def test_verify_keeps_what_is_wrong_from_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, by_name = plans("mlp", "adamw")
    old, new = by_name["absorbed"], by_name["table8"]
    save_file(tensors_of(old.apply_(target.build(SIZES, 3))), tmp_path / "a.safetensors")
    write_plan(old, tmp_path / "plan.yaml")
    output = prepared((target, new), tmp_path / "a.safetensors", tmp_path / "out", fresh=False,
                      function_preserving=True, verify=True)  # fmt: skip
    assert output.transfer is not None
    output.transfer.scalings["readout.weight"] = TensorFactor(1.0)
    with pytest.raises(UserError, match="--verify: the outputs differ by"):
        output.write(lambda size: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "plan.yaml"]
