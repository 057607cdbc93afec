"""Functions of the API take what their commands take: an option that is added to one of them is missed in the other."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from program import app, exit_code
from torch import nn

import muaudit
from muaudit.api.coordinate_check import CheckOptions
from muaudit.errors import UserError
from muaudit.sweep.sweep_request import SweepRequest

WRITTEN = "how or where the report is written: the result has text(), to_dict(), to_html(), rows() and plot()"
CONFIGURED = "functions read no configuration"
APART = "of processes of their own and their cache: functions run in this one"
CHOSEN = "which findings are shown or fail: these are rows"
EDITS = "edits the files of the command line's target"
NOT_HERE: Mapping[str, Mapping[str, str]] = {
    "check": {
        **dict.fromkeys(("format", "output", "tensors", "statistics", "quiet", "exit_zero"), WRITTEN),
        **dict.fromkeys(("config", "isolated"), CONFIGURED),
        **dict.fromkeys(("no_cache", "jobs", "timeout", "verbose", "debug"), APART),
        **dict.fromkeys(("select", "extend_select", "ignore", "baseline", "strict", "fail_on"), CHOSEN),
        **dict.fromkeys(("fix", "diff", "show_fixes", "base_width"), EDITS),
    },
    "convert": {
        **dict.fromkeys(("format", "output"), WRITTEN), "for": "lines to paste: a program calls the plan's methods",
        **dict.fromkeys(("config", "isolated"), CONFIGURED), **dict.fromkeys(("timeout", "debug"), APART),
    },
    "coord-check": {
        **dict.fromkeys(("format", "output", "plot"), WRITTEN), **dict.fromkeys(("timeout", "debug"), APART),
        "from": "CoordCheck.read reads a report",
    },
    "sweep": {
        **dict.fromkeys(("format", "output", "plot", "curves"), WRITTEN), **dict.fromkeys(("timeout", "debug"), APART),
    },
    "transfer": {
        **dict.fromkeys(("format", "output"), WRITTEN), **dict.fromkeys(("timeout", "debug"), APART),
    },
}  # fmt: skip
"""Options that make no sense from Python, by command, and why."""
CALLED: Mapping[str, Mapping[str, str]] = {
    "check": {"target": "build", "width": "widths", "depth": "depths"},
    "convert": {"target": "build", "probes": "widths", "from": "old_plan"},
    "coord-check": {"target": "build", "width": "widths", "widths": "train_widths", "depths": "train_depths"},
    "sweep": {"import": "imported"},
    "transfer": {
        "target": "build",
        "plan": "build",
        "from": "start",
        "set": "given",
        "arg": "set",
        "width": "widths",
    },
}
"""Options that go by another name: `from` is a word of Python's, `widths` those of a spec."""
FUNCTIONS: Mapping[str, frozenset[str]] = {
    "check": frozenset({"batch", "loss", "scheduler"}),
    "convert": frozenset({"batch", "loss", "scheduler", "depths", "advance"}),
    "coord-check": frozenset({"batch", "loss", "scheduler", "depths", "progress"}),
    "sweep": frozenset({"progress", "held_depth"}),
    "transfer": frozenset({"batch", "loss"}),
}
"""Parameters that are functions, which no command line can hold, and what belongs to these."""

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x):
        return self.c(self.b(self.a(x).relu()).relu())

    def reset(self):
        nn.init.zeros_(self.c.weight)
"""

SPEC = f"""{NET}
import torch

def build(width):
    return Net(width)

def batches(width, seed):
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(16, 8, generator=generator)

def loss(output, batch):
    return (output - batch[:, :3]).square().mean()
"""


@pytest.mark.parametrize("name", NOT_HERE)
def test_a_function_takes_what_its_command_takes(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    long = (next((text for text in each.opts if text.startswith("--")), each.opts[0]) for each in command.params)
    options = {text.removeprefix("--").replace("-", "_") for text in long} - {"help"}
    assert NOT_HERE[name].keys() <= options
    assert CALLED[name].keys() <= options
    expected = {CALLED[name].get(each, each) for each in options - NOT_HERE[name].keys()} | FUNCTIONS[name]
    function: Callable[..., Any] = getattr(muaudit, name.replace("-", "_"))
    taken = set(inspect.signature(function).parameters)
    if "options" in taken:  # of a sweep by their names
        taken = (taken - {"options"}) | {each.name for each in fields(SweepRequest)}
    assert taken == expected


def test_options_of_a_coordinate_check_are_typed_as_they_are_taken() -> None:
    """Every overload has them by name: a misspelled one is an error of the type checker's."""
    taken = inspect.signature(muaudit.coord_check).parameters
    typed = {name: each.__forward_arg__ for name, each in CheckOptions.__annotations__.items()}
    assert {name: taken[name].annotation for name in typed} == typed
    assert set(taken) - set(typed) == {
        "build", "train_depths", "plan", "compare", "compare_plan", "tensorboard", "wandb", "spectral", "precision",
        "ladder", "base_width",
    }  # fmt: skip


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET)
    return f"{tmp_path}/net.py:Net"


class Net(nn.Module):
    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.c(self.b(self.a(x).relu()).relu())
        return out

    def reset(self) -> None:
        nn.init.zeros_(self.c.weight)


def as_printed(*arguments: str, capsys: pytest.CaptureFixture[str]) -> Any:
    exit_code(*arguments)
    return json.loads(capsys.readouterr().out)


def test_check_is_asked_as_on_the_command_line(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = muaudit.check(net, input={"x": "float[4,8]"}, lr_group={"b.weight": -1, "c.weight": -1}, init="reset",
                           optimizer_kind={"b.weight": "muon"}, why="b.*")  # fmt: skip
    flags = ("--input", "x=float[4,8]", "--lr-group", "b.weight=-1", "--lr-group", "c.weight=-1", "--init", "reset",
             "--optimizer-kind", "b.weight=muon", "--why", "b.*")  # fmt: skip
    printed = as_printed("check", net, *flags, "--no-cache", "--isolated", "--format", "json", capsys=capsys)
    assert json.loads(json.dumps(report.to_dict())) == printed
    assert printed["derivation"]
    assert report.text().startswith("b.")
    rates = {row["name"]: row["lr_exponent"] for row in report.tensor_rows()}
    assert (rates["a.weight"], rates["c.weight"]) == (0, -1)


def test_what_initializes_and_base_shapes(net: str, tmp_path: Path) -> None:
    target: dict[str, Any] = {"batch": lambda width: torch.ones(4, 8), "widths": (64, 128)}

    def init_of(report: muaudit.Report) -> float | None:
        return next(row.init_exponent for row in report.tensors if row.name == "c.weight")

    named = muaudit.check(Net, init="reset", **target)
    as_it_is = muaudit.check(Net, no_init=True, **target)
    assert init_of(named) != init_of(as_it_is) == -0.5
    with pytest.raises(UserError, match="--no-init calls none"):
        muaudit.check(Net, init=nn.Module.eval, no_init=True, **target)
    with pytest.raises(UserError, match="--lr-group expects PATTERN=EXPONENT"):
        muaudit.check(Net, lr_group={"a": "fast"}, **target)

    with pytest.raises(UserError, match=r"no tensor or activation named 'b.weigth'"):
        muaudit.check(Net, why="b.weigth", **target)

    target["width"] = 64
    made = muaudit.convert(Net, base_width=32, out=tmp_path / "mup", emit_bsh=True, no_state_dict=True, **target)
    bsh = tmp_path / "mup" / "model.bsh"
    assert muaudit.check(Net, bsh=bsh, batch=target["batch"], widths=(64, 128)).verdict == "standard"
    assert muaudit.convert(Net, bsh=bsh, **target).plan.to_dict() == made.plan.to_dict()
    with pytest.raises(UserError, match="--base-width is 16"):
        muaudit.convert(Net, bsh=bsh, base_width=16, **target)
    with pytest.raises(UserError, match="--plan and --bsh: a plan has its own"):
        muaudit.convert(Net, bsh=bsh, plan=tmp_path / "mup" / "plan.yaml")
    kinds = {"b.weight": "muon:spectral"}
    muon = muaudit.convert(Net, base_width=32, optimizer_kind=kinds, no_init=True, **target)
    rates = [next(row["lr ×"] for row in each.rows() if row["tensor"] == "b.weight") for each in (made, muon)]
    assert rates == [0.5, 1.0]  # Adam's goes like 1/width; with spectral scaling Muon's own transfers


RUN: dict[str, Any] = {"train_widths": (16, 32, 64), "steps": 2, "seeds": 1, "input": {"x": "float[4,8]"}}
FLAGS = ("--widths", "16,32,64", "--steps", "2", "--seeds", "1", "--input", "x=float[4,8]", "--format", "json")


@pytest.mark.parametrize(
    ("options", "flags"),
    [({"spectral": True}, ("--spectral",)), ({"precision": ("fp16", "bf16")}, ("--precision", "all")),
     ({"ladder": True, "base_width": 32}, ("--ladder", "--base-width", "32")),
     ({"optimizer_kind": {"b.weight": "muon"}, "no_init": True}, ("--optimizer-kind", "b.weight=muon", "--no-init"))],
    ids=("spectral", "precision", "ladder", "kinds"),
)  # fmt: skip
def test_a_coordinate_check_is_asked_as_on_the_command_line(
    net: str, options: dict[str, Any], flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    found = muaudit.coord_check(net, **RUN, **options)
    assert found.to_dict() == as_printed("coord-check", net, *FLAGS, *flags, capsys=capsys)
    assert found.rows()
    assert found.headline in repr(found)
    assert found.text()
    assert found._repr_html_()


def test_checks_beside_each_other_and_read_again(net: str, tmp_path: Path) -> None:
    muaudit.convert(net, base_width=16, input=RUN["input"], out=tmp_path / "mup", no_state_dict=True)
    first = muaudit.coord_check(net, compare_plan=tmp_path / "mup" / "plan.yaml", **RUN)
    (planned,) = first.others
    assert planned.measurement.target == f"{first.measurement.target} converted by plan.yaml"
    assert first.text().count("coordinate check") == 2 * planned.text().count("coordinate check") > 0
    report = tmp_path / "report.json"
    report.write_text(json.dumps(planned.to_dict()))
    assert muaudit.CoordCheck.read(report).to_dict() == planned.to_dict()
    again = muaudit.coord_check(net, compare=str(report), **RUN)
    assert [each.to_dict() for each in again.others] == [planned.to_dict()]
    assert again.to_html().count("plan.yaml") == first.to_html().count("plan.yaml") > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [({"spectral": True, "compare": "net.py"}, "--spectral has norms of its own: --compare"),
     ({"precision": "fp8"}, "unknown precision 'fp8'"), ({"base_width": 16}, "--base-width belongs to --ladder"),
     ({"precision": "fp16", "train_depths": (2, 4)}, "--precision prints a table of its own: --depths"),
     ({"ladder": True, "plan": "plan.yaml"}, "--ladder makes plans of its own and prints one table: --plan"),
     ({"wandb": " "}, "--wandb needs the name of a project")],
)  # fmt: skip
def test_what_does_not_go_together(net: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        muaudit.coord_check(net, **options)


def test_a_check_is_logged(net: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    muaudit.coord_check(net, tensorboard=tmp_path / "logs", **RUN)
    assert len(list((tmp_path / "logs").rglob("events.*"))) == 3  # one a width


def test_transfer_is_asked_as_on_the_command_line(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    carried = muaudit.transfer(net, start=64, to=128, given={"lr": 1e-3}, input={"x": "float[4,8]"}, init="reset")
    flags = ("--from", "64", "--to", "128", "--set", "lr=1e-3", "--input", "x=float[4,8]", "--init", "reset")
    assert json.loads(json.dumps(carried.to_dict())) == as_printed(
        "transfer", net, *flags, "--format", "json", capsys=capsys
    )
    other = muaudit.transfer(net, start=64, to=128, given={"lr": 1e-3}, input={"x": "float[4,8]"}, no_init=True)
    assert other.to_dict() != carried.to_dict()


def test_two_runs_are_held_against_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, large = tmp_path / "small.yaml", tmp_path / "large.json"
    small.write_text("optimizer: {peak: 0.003}\nweight_decay: 0.1\nbatch: 256K\ntokens: 2.5B\n")
    large.write_text(json.dumps({"optimizer": {"peak": 0.003}, "weight_decay": 0.1, "batch": 1e6, "tokens": 1e10}))
    found = muaudit.transfer(audit=(small, str(large)), names={"lr": "optimizer.peak"}, recipe="timescale")
    flags = ("--audit", str(small), str(large), "--names", "lr=optimizer.peak", "--recipe", "timescale")
    assert found.to_dict() == as_printed("transfer", *flags, "--format", "json", capsys=capsys)
    assert exit_code("transfer", *flags) == (0 if found.ok else 1)
    assert found.text() == capsys.readouterr().out.rstrip("\n")
    assert found.headline in repr(found)
    assert found.rows()[0]["name"] == "lr"
    assert "<td" in found._repr_html_()
    with pytest.raises(UserError, match="'rate' is no known setting"):
        muaudit.transfer(audit=(small, large), names={"rate": "optimizer.peak"})
    with pytest.raises(UserError, match="leave out build, start, to and given"):
        muaudit.transfer(Net, audit=(small, large))  # type: ignore[call-overload]
    with pytest.raises(UserError, match="takes a model or a plan, start and to"):
        muaudit.transfer(Net, start=64)  # type: ignore[call-overload]


def test_a_sweep_is_logged(tmp_path: Path) -> None:
    (tmp_path / "spec.py").write_text(SPEC)
    with pytest.raises(UserError, match="--wandb needs the name of a project"):
        muaudit.sweep(tmp_path / "spec.py", wandb=" ")
    pytest.importorskip("tensorboard")
    logs = tmp_path / "logs"
    muaudit.sweep(tmp_path / "spec.py", widths=(16, 32), lr=(1e-3, 4e-3), steps=2, seeds=1, tensorboard=logs,
                  results=tmp_path / "runs.jsonl")  # fmt: skip
    assert len(list(logs.rglob("events.*"))) == 2 * 2 + 2  # one a run, and one a width
