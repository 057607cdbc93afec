"""Folders of torch.distributed.checkpoint: scaled and moved tensor by tensor, and read again by torch itself."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from test_checkpoints import SIZES, WIDTH, convert, prepared, scaled_in_memory
from test_convert import BASE, losses, target_of
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from muaudit.checkpoints.dcp_metadata import METADATA
from muaudit.convert.planner import make_plan, make_plans
from muaudit.errors import UserError
from muaudit.plan.file import write_plan
from muaudit.plan.move import move_of
from muaudit.plan.plan import Plan
from muaudit.plan.scales import Entry
from muaudit.targets import Target

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


@pytest.fixture(scope="module")
def gpt() -> tuple[Target, Plan]:
    target = target_of("gpt", "adamw")
    return target, make_plan(target, BASE, WIDTH)


def saved(folder: Path, content: dict[str, Any]) -> Path:
    dcp.save(content, checkpoint_id=folder, no_dist=True)
    return folder


def loaded(folder: Path, like: dict[str, Any]) -> dict[str, Any]:
    dcp.load(like, checkpoint_id=folder, no_dist=True)
    return like


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("nested", [True, False])
def test_a_fresh_one_is_scaled(gpt: tuple[Target, Plan], nested: bool, dtype: torch.dtype, tmp_path: Path) -> None:
    model = gpt[0].build(SIZES, 3).to(dtype)
    want = scaled_in_memory(gpt, model.state_dict())
    content: dict[str, Any] = {"model": model.state_dict(), "step": 7} if nested else dict(model.state_dict())
    convert(gpt, saved(tmp_path / "in", content), tmp_path / "out", verify=True)
    empty = {name: torch.empty_like(value) for name, value in model.state_dict().items()}
    if nested:
        found = loaded(tmp_path / "out", {"model": empty, "step": 0})
        assert found["step"] == 7
        empty = found["model"]
    else:
        empty = loaded(tmp_path / "out", empty)
    for name, value in want.items():
        assert torch.allclose(empty[name].double(), value.double(), rtol=1e-2 if dtype == torch.bfloat16 else 1e-6)
    with pytest.raises(UserError, match="has been converted before: fresh"):
        prepared(gpt, tmp_path / "out", tmp_path / "again")


@pytest.mark.parametrize("flat", [False, True], ids=["listed", "flattened"])
def test_weights_and_optimizer_move_together(flat: bool, tmp_path: Path) -> None:
    """Four steps after the move give the losses of going on, with the rates of the new plan's groups."""
    target = target_of("gpt", "adamw")
    old, new = make_plans(target, BASE, WIDTH, ("absorbed", "table9"))
    options = StateDictOptions(flatten_optimizer_state_dict=flat)

    def made(plan: Plan, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(plan.param_groups(model, lr=0.01, weight_decay=0.1, eps=1e-30), lr=0.01)

    model = old.apply_(target.build(SIZES, 3))
    optimizer = made(old, model)
    losses(target, model, optimizer, 3, WIDTH)
    weights, state = get_state_dict(model, optimizer, options=options)
    source = saved(tmp_path / "in", {"model": weights, "optim": state})
    write_plan(old, source / "plan.yaml")
    wanted: dict[str, Any] = {"fresh": False, "function_preserving": True}
    with pytest.raises(UserError, match="holds an optimizer state as well as weights"):
        prepared((target, new), source, tmp_path / "out", **wanted)
    with pytest.raises(UserError, match="--fresh"):
        prepared((target, new), source, tmp_path / "out")
    convert((target, new), source, tmp_path / "out", optimizer_state=source, **wanted)

    again = new.install_hooks(target.build(SIZES, 8))
    resumed = made(new, again)
    rates = [group["lr"] for group in resumed.param_groups]
    for group in resumed.param_groups:
        group["lr"] = 7.0
    weights, state = get_state_dict(again, resumed, options=options)
    content = loaded(tmp_path / "out", {"model": weights, "optim": state})
    set_state_dict(
        again, resumed, model_state_dict=content["model"], optim_state_dict=content["optim"], options=options
    )
    assert [group["lr"] for group in resumed.param_groups] == pytest.approx(rates)
    assert losses(target, again, resumed, 4, WIDTH) == pytest.approx(
        losses(target, model, optimizer, 4, WIDTH), rel=1e-4
    )


def test_statistics_that_are_sums_over_rows_and_columns(tmp_path: Path) -> None:
    """torch's Adafactor: no state of it has a matrix's shape, and its eps is two numbers."""
    target = target_of("mlp", "adafactor")
    old, new = make_plans(target, BASE, WIDTH, ("absorbed", "table9"))

    def made(plan: Plan, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adafactor(plan.param_groups(model, lr=0.01), lr=0.01)

    model = old.apply_(target.build(SIZES, 3))
    optimizer = made(old, model)
    losses(target, model, optimizer, 3, WIDTH)
    weights, state = get_state_dict(model, optimizer)
    source = saved(tmp_path / "in", {"model": weights, "optim": state})
    write_plan(old, source / "plan.yaml")
    convert((target, new), source, tmp_path / "out", optimizer_state=source, fresh=False, function_preserving=True)

    again = new.install_hooks(target.build(SIZES, 8))
    resumed = made(new, again)
    weights, state = get_state_dict(again, resumed)
    content = loaded(tmp_path / "out", {"model": weights, "optim": state})
    set_state_dict(again, resumed, model_state_dict=content["model"], optim_state_dict=content["optim"])
    assert losses(target, again, resumed, 4, WIDTH) == pytest.approx(
        losses(target, model, optimizer, 4, WIDTH), rel=1e-4
    )


def test_each_of_several_optimizers_moves_its_own_state() -> None:
    """By hand, TP5 Lemma J.1: stored θ = 4 times larger, a gradient is 4 times smaller, its square 16 times."""
    entries = tuple(Entry(name, ("hidden",), ("n", "n"), optimizer=name) for name in ("muon", "adamw"))
    old = Plan("net.py", "n", 64, 256, "muon+adamw", entries)
    new = replace(old, entries=tuple(replace(entry, gauge=1.0) for entry in entries), formulation="table9")
    assert move_of(old, new, ["muon"]).state("momentum_buffer") == 1 / 4
    assert move_of(old, new, ["adamw"]).state("exp_avg_sq") == 1 / 16


@pytest.mark.parametrize("folder", [True, False], ids=["folder", "file"])
def test_a_readout_that_starts_at_zero(folder: bool, tmp_path: Path) -> None:
    """A factor of 0 is no underflow."""
    target = target_of("mlp", "adamw")
    plan = make_plan(target, BASE, WIDTH, zeros=("readout",))
    state = dict(target.build(SIZES, 3).state_dict())
    if folder:
        convert((target, plan), saved(tmp_path / "in", state), tmp_path / "out")
        found = loaded(tmp_path / "out", {name: torch.ones_like(value) for name, value in state.items()})
    else:
        torch.save(state, tmp_path / "in.pt")
        convert((target, plan), tmp_path / "in.pt", tmp_path / "out")
        found = torch.load(tmp_path / "out" / "in.pt", weights_only=True)
    assert not found["readout.weight"].any()
    assert found["hidden.0.weight"].any()


class Harmful:
    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


def cut(folder: Path) -> None:
    file = folder / "__0_0.distcp"
    os.truncate(file, file.stat().st_size - 5000)


def lose(folder: Path) -> None:
    (folder / "__0_0.distcp").unlink()


def garble(folder: Path) -> None:
    (folder / METADATA).write_bytes(b"\x80\x05nothing")


def harm(folder: Path) -> None:
    (folder / METADATA).write_bytes(pickle.dumps(Harmful()))


def outside(folder: Path) -> None:
    metadata = pickle.loads((folder / METADATA).read_bytes())
    for info in metadata.storage_data.values():
        info.relative_path = "../in/__0_0.distcp"
    (folder / METADATA).write_bytes(pickle.dumps(metadata))


def forget(folder: Path) -> None:
    metadata = pickle.loads((folder / METADATA).read_bytes())
    metadata.storage_data.pop(next(iter(metadata.storage_data)))
    (folder / METADATA).write_bytes(pickle.dumps(metadata))


def overwrite(folder: Path) -> None:
    file = folder / "__0_0.distcp"
    file.write_bytes(b"\0" * file.stat().st_size)


DAMAGE = [
    (cut, "lies behind"), (lose, "is missing"), (garble, "no metadata"), (harm, r"it names \w+\.system"),
    (outside, "expected one beside it"), (forget, "elements of .* are stored"), (overwrite, "not stored as torch.save"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=lambda each: getattr(each, "__name__", ""))
def test_bad_folders_are_refused_and_nothing_is_lost(
    gpt: tuple[Target, Plan], damage: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = saved(tmp_path / "in", dict(gpt[0].build(SIZES, 3).state_dict()))
    damage(source)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "own").write_text("kept")
    with pytest.raises(UserError, match=message):
        convert(gpt, source, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["own"]
    assert not (tmp_path / "harmed").exists()


def test_values_that_are_not_finite(gpt: tuple[Target, Plan], tmp_path: Path) -> None:
    state = dict(gpt[0].build(SIZES, 3).state_dict())
    name = next(name for name in state if name.endswith("c_fc.weight"))
    state[name] = torch.full_like(state[name], float("nan"))
    with pytest.raises(UserError, match=f"{name} holds NaN"):
        convert(gpt, saved(tmp_path / "in", state), tmp_path / "out")


def test_another_models(gpt: tuple[Target, Plan], tmp_path: Path) -> None:
    state = dict(gpt[0].build({"n": 64}, 3).state_dict()) | {"extra": torch.zeros(3)}
    with pytest.raises(UserError, match="extra: the model has no such tensor"):
        prepared(gpt, saved(tmp_path / "in", state), tmp_path / "out")


@pytest.mark.slow
def test_saved_by_fsdp2_on_two_processes(tmp_path: Path) -> None:
    """Chunks of every tensor in two files: moved, read by both processes, and trained on as if nothing had been."""
    script = Path(__file__).parent / "sharded_apart.py"
    running = [
        subprocess.Popen(
            [sys.executable, str(script), str(tmp_path)], env={**os.environ, "RANK": str(rank)},
            stdout=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    texts = [each.communicate(timeout=300)[0] for each in running]
    assert [each.returncode for each in running] == [0, 0]
    found = json.loads(texts[0].splitlines()[-1])
    for form in ("listed", "flattened"):
        assert found[form] == pytest.approx(found["going on"], rel=1e-12)
        got, expected = found[f"{form}: rates"]
        assert got == pytest.approx(expected, rel=1e-12)
        assert found[f"{form}: step"] == 4
