"""What conversion writes for others: a module that needs torch alone, and microsoft/mup's base shape file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from bugs.plant import FIXTURES, load
from matrix import some
from test_convert import BASE, losses, target_of, tied_target

from muaudit.convert.planner import make_plan
from muaudit.convert.python_module import module_text
from muaudit.errors import UserError
from muaudit.plan.plan import Plan
from muaudit.targets import Target, TargetOptions, resolve
from muaudit.targets.base_shapes import base_of, bsh_text

WIDTH = 192
SUBJECTS = [
    ("gpt", "adamw", "absorbed"), ("gpt", "adamw", "table8"), ("gpt", "sgd", "table9"), ("llama", "adamw", "table9"),
    ("mlp", "adam", "absorbed"), ("resnet", "sgd", "table8"),
]  # fmt: skip


def emitted(plan: Plan, folder: Path) -> Any:
    (folder / "mup_plan.py").write_text(module_text(plan, "mup_plan"), encoding="utf-8")
    return load(folder / "mup_plan.py")


def same(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], before: Any, after: Any) -> bool:
    """Groups of two copies of a model, parameters compared by name."""
    names = [{id(p): name for name, p in model.named_parameters()} for model in (before, after)]
    plain = [
        [{**group, "params": [known[id(p)] for p in group["params"]]} for group in groups]
        for groups, known in zip((ours, theirs), names, strict=True)
    ]
    return plain[0] == plain[1]


@pytest.mark.parametrize(("family", "optimizer", "formulation"), some(SUBJECTS, SUBJECTS[2:5]))
def test_the_module_does_what_the_plan_does(family: str, optimizer: str, formulation: str, tmp_path: Path) -> None:
    target = target_of(family, optimizer)
    plan = make_plan(target, BASE, WIDTH, formulation=formulation)
    module = emitted(plan, tmp_path)
    before, after = (target.build({"n": WIDTH}, 3) for _ in range(2))
    plan.apply_(before)
    module.apply_(after)
    assert all(torch.equal(p, q) for p, q in zip(before.parameters(), after.parameters(), strict=True))
    for settings in ({"lr": 0.1}, {"lr": 0.1, "weight_decay": 0.3}, {"lr": 0.1, "weight_decay": 0.3, "eps": 1e-6}):
        assert same(plan.param_groups(before, **settings), module.param_groups(after, **settings), before, after)
    cls: Any = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer]
    ours, theirs = cls(plan.param_groups(before, lr=0.01)), cls(module.param_groups(after, lr=0.01))
    assert losses(target, before, ours, 4, WIDTH) == losses(target, after, theirs, 4, WIDTH)


def test_the_module_refuses_what_the_plan_refuses(tmp_path: Path) -> None:
    target = target_of("mlp", "adamw")
    plan = make_plan(target, BASE, WIDTH)
    module = emitted(plan, tmp_path)
    model = module.apply_(target.build({"n": WIDTH}, 0))
    for again in (module.apply_, module.install_hooks):
        with pytest.raises(ValueError, match="has been applied to this model before"):
            again(model)
    with pytest.raises(UserError, match="has been applied to this model before"):
        plan.apply_(model)
    with pytest.raises(ValueError, match=r"has the shape \(128, 16\), expected \('n', 'fixed'\) with n = 192"):
        module.apply_(target.build({"n": 128}, 0))
    for other, message in ((torch.nn.Linear(3, 3), "no entry for weight"), (torch.nn.Sequential(), "which has embed")):
        with pytest.raises(ValueError, match=message):
            module.param_groups(other, lr=0.1)


SCRIPT = """
import importlib.abc, json, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("muaudit", "yaml", "safetensors"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
import torch
torch.manual_seed(3)
from model import MLP
import mup_plan
model = mup_plan.apply_(MLP(192))
groups = mup_plan.param_groups(model, lr=0.1, weight_decay=0.1, eps=1e-8)
torch.optim.AdamW([dict(group) for group in groups])
sizes = {name: float(p.double().norm()) for name, p in model.named_parameters()}
print(json.dumps([sizes, [{**g, "params": len(g["params"])} for g in groups], sorted(sys.modules)]))
"""


def test_the_module_runs_where_muaudit_is_not(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text((FIXTURES / "mlp" / "sp.py").read_text())
    plan = make_plan(target_of("mlp", "adamw"), BASE, WIDTH)
    emitted(plan, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sizes, groups, modules = json.loads(done.stdout.splitlines()[-1])
    assert "muaudit" not in modules
    torch.manual_seed(3)
    model = plan.apply_(load(FIXTURES / "mlp" / "sp.py").MLP(WIDTH))
    assert sizes == {name: float(p.double().norm()) for name, p in model.named_parameters()}
    want = plan.param_groups(model, lr=0.1, weight_decay=0.1, eps=1e-8)
    assert groups == [{**group, "params": len(group["params"])} for group in want]


def test_multipliers_of_the_module(tmp_path: Path) -> None:
    target = tied_target()
    plan = make_plan(target, BASE, WIDTH)
    assert plan.hooks
    module = emitted(plan, tmp_path)
    inputs = target.inputs({"width": WIDTH}).args
    before, after = (target.build({"width": WIDTH}, 0) for _ in range(2))
    assert torch.equal(plan.apply_(before)(*inputs), module.apply_(after)(*inputs))


# -- base shapes ----------------------------------------------------------------------------------------------
MUP_MODEL = """
import mup, torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=256):
        super().__init__()
        self.first, self.second = nn.Linear(16, width), nn.Linear(width, 2 * width)
        self.readout = mup.MuReadout(2 * width, 10)

    def forward(self, x):
        return self.readout(torch.relu(self.second(torch.relu(self.first(x)))))

def build(width):
    return Net(width)

def batch(width):
    return torch.randn(8, 16, generator=torch.Generator().manual_seed(0))

def optimizer(model):
    return mup.MuAdam(model.parameters(), lr=1e-3)

def loss(output, batch):
    return output.square().mean()
"""


@pytest.fixture
def net(tmp_path: Path) -> tuple[Path, Path]:
    """A model of microsoft/mup's, and the base shape file that the library wrote for it."""
    mup = pytest.importorskip("mup", reason="pip install --no-deps mup")
    (tmp_path / "net.py").write_text(MUP_MODEL)
    module = load(tmp_path / "net.py")
    mup.make_base_shapes(module.Net(32), module.Net(48), savefile=str(tmp_path / "net.bsh"))
    return tmp_path / "net.py", tmp_path / "net.bsh"


@pytest.mark.parametrize("family", ["mlp", "gpt", "llama", "resnet"])
def test_base_shapes_are_those_of_the_library(family: str, tmp_path: Path) -> None:
    """Ground truth: mup.make_base_shapes of a base and a delta model, and set_base_shapes with our file."""
    mup = pytest.importorskip("mup", reason="pip install --no-deps mup")
    target = target_of(family, "adamw")
    path = tmp_path / "ours.bsh"
    path.write_text(bsh_text(target, BASE, path.name))
    base, delta, model = (target.build({"n": width}, 0) for width in (64, 128, 256))
    want = mup.make_base_shapes(base, delta)
    assert mup.shape.load_base_shapes(str(path)) == want
    mup.set_base_shapes(model, str(path), do_assert=False)
    assert {p.infshape.width_mult() for p in model.parameters()} - {1.0} == {4.0}
    assert base_of(path, target).width == BASE


def test_a_model_of_the_library_is_audited_with_its_file(net: tuple[Path, Path]) -> None:
    """Without the file the first probe is the base: that is a matter of constants."""
    from muaudit.audit import audit

    alone = resolve(str(net[0]), TargetOptions())
    assert any("nobody sets the base shapes" in note for note in alone.notes)
    without = audit(alone)
    assert (without.verdict, without.count("error")) == ("mup", 0)
    report = audit(resolve(str(net[0]), TargetOptions(bsh=net[1])))
    assert (report.verdict, report.count("error")) == ("mup", 0)
    assert base_of(net[1], resolve(str(net[0]), TargetOptions(bsh=net[1]))).width == 32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "it is not YAML"),
        ("[1, 2]", "is no base shape file"),
        ("embed.weight: [64, one]", "is no base shape file"),
        ("embed.weight: [64, null]", "for another model"),
    ],
)
def test_other_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.bsh").write_text(text)
    with pytest.raises(UserError, match=message):
        resolve(str(FIXTURES / "mlp" / "sp.py"), TargetOptions(bsh=tmp_path / "a.bsh"))


def test_base_shapes_that_disagree_are_named(tmp_path: Path) -> None:
    target: Target = target_of("mlp", "adamw")
    right = bsh_text(target, BASE, "a.bsh")
    for old, new, message in (
        ("hidden.1.weight: [64, 64]", "hidden.1.weight: [64, 32]", r"hidden.1.weight: \[64, 32\] in the file"),
        ("readout.weight: [null, 64]", "readout.weight: [10, 64]", r"readout.weight: \[10, 64\] in the file"),
    ):
        assert old in right
        (tmp_path / "a.bsh").write_text(right.replace(old, new))
        with pytest.raises(UserError, match=message):
            base_of(tmp_path / "a.bsh", target)
    with pytest.raises(UserError, match="cannot read"):
        base_of(tmp_path / "none.bsh", target)
