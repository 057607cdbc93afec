"""The lines that `convert --for NAME` prints run as they are, for every way to train whose library is here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from program import app
from test_plan_made_for import Net, plan

import muaudit
from muaudit.convert.ways import WAYS, pasted
from muaudit.errors import UserError
from muaudit.plan.file import write_plan

X = torch.arange(16).view(2, 8)


@pytest.fixture
def names(tmp_path: Path) -> dict[str, Any]:
    """What the lines take for granted."""
    write_plan(plan(), tmp_path / "plan.yaml")
    model = Net()
    made = muaudit.load_plan(tmp_path / "plan.yaml")
    made.apply_(model)
    return {"torch": torch, "muaudit": muaudit, "plan": made, "model": model, "LR": 1e-3, "WD": 0.1, "scheduler": None}


def lines(way: str, names: dict[str, Any]) -> str:
    return "\n".join(pasted(names["plan"], [], way))


def as_planned(names: dict[str, Any], optimizer: Any) -> None:
    """The target's own settings: betas, no decay on vectors; the learning rate for the optimizer too."""
    assert (optimizer.defaults["lr"], optimizer.defaults["betas"]) == (1e-3, (0.9, 0.95))
    held = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    model = names["model"]
    assert held[id(model.blocks[0].norm.weight)]["weight_decay"] == 0.0
    assert held[id(model.blocks[0].up.weight)]["weight_decay"] == pytest.approx(0.2)
    assert held[id(model.blocks[0].up.weight)]["lr"] == pytest.approx(5e-4)


def test_plain(names: dict[str, Any]) -> None:
    exec(lines("plain", names), names)
    as_planned(names, names["optimizer"])


def test_accelerate(names: dict[str, Any]) -> None:
    accelerate = pytest.importorskip("accelerate")
    names |= {"accelerator": accelerate.Accelerator(cpu=True), "loader": torch.utils.data.DataLoader([X])}
    made, prepared = lines("accelerate", names).split("\nmodel, ")
    exec(made, names)
    as_planned(names, names["optimizer"])
    names["scheduler"] = torch.optim.lr_scheduler.CosineAnnealingLR(names["optimizer"], 10)
    exec(f"model, {prepared}", names)


def test_trainer(names: dict[str, Any], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    arguments = transformers.TrainingArguments(str(tmp_path), max_steps=1, report_to=[], use_cpu=True)
    exec(lines("trainer", names), names | {"transformers": transformers, "args": arguments})
    names |= {"transformers": transformers, "args": arguments}
    exec(lines("trainer", names), names)
    as_planned(names, names["optimizer"])
    names["Verify"]().on_train_begin(None, None, None, optimizer=names["optimizer"], lr_scheduler=None, model=None)


def test_lightning(names: dict[str, Any]) -> None:
    text = "\n".join(f"    {row}" for row in lines("lightning", names).splitlines())
    exec(f"class Lit:\n{text}", names)
    lit = names["Lit"]()
    lit.plan, lit.model = names["plan"], names["model"]
    optimizer = lit.configure_optimizers()
    as_planned(names, optimizer)
    lit.optimizers, lit.lr_schedulers = lambda: optimizer, lambda: None
    lit.on_train_start()


def test_fsdp2(names: dict[str, Any]) -> None:
    exec(lines("fsdp2", names), names | {"fully_shard": lambda model: model})


def test_an_unknown_way_and_the_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="did you mean lightning"):
        pasted(plan(), [], "lightening")
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        app(["convert", "--help"], prog_name="muaudit")
    text = capsys.readouterr().out
    assert all(way in text for way in WAYS)
