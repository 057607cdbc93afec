"""What goes wrong at a large width, named where it begins, and the same in a small model (TP5 App. I, 2203.03466)."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from program import exit_code
from torch import nn

from muaudit.diagnose.diagnose_settings import DiagnoseSettings
from muaudit.diagnose.diagnose_task import diagnose
from muaudit.diagnose.diagnosis import Diagnosis
from muaudit.diagnose.out_of_range import leaving
from muaudit.diagnose.recorded import Quantity, Recorded
from muaudit.errors import UserError
from muaudit.targets import from_functions

BASE = 32


class Net(nn.Module):
    """A perceptron in µP (Table 3, Adam); `fault` makes one thing wrong."""

    def __init__(self, width: int, fault: str = "") -> None:
        super().__init__()
        self.width = width
        self.up, self.mid = nn.Linear(8, width, bias=False), nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)
        self.factor = nn.Parameter(torch.tensor((width / BASE) ** 2)) if fault == "scalar init" else 1.0
        powers = {"input init": 2, "input overflow": 4}
        nn.init.normal_(self.up.weight, 0, (width / BASE) ** powers.get(fault, 0))
        nn.init.normal_(self.mid.weight, 0, width**-0.5)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.up(x)) * self.factor
        return self.head(torch.relu(self.mid(x)))  # type: ignore[no-any-return]


def diagnosed(fault: str = "", lr: float = 1e-2, steps: int = 6, precision: str = "") -> Diagnosis:
    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        m = model.width / BASE  # type: ignore[operator]
        rates = {"up.weight": lr, "mid.weight": lr / m, "head.weight": lr / m}
        if fault == "hidden lr":
            rates["mid.weight"] = lr * m**1.5
        groups = [{"params": [p], "lr": rates.get(name, lr)} for name, p in model.named_parameters()]
        return torch.optim.Adam(groups, eps=1e-2 if fault == "eps" else 1e-12)

    def loss(output: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        return ((output - batch[:, :4]) ** 2).mean()

    target = from_functions(
        lambda width: Net(width, fault), loss=loss, optimizer=optimizer, widths=(32, 64),
        batch=lambda width: torch.randn(16, 8, generator=torch.Generator().manual_seed(0)),
    )  # fmt: skip
    return diagnose(target, 512, 32, None, DiagnoseSettings(steps=steps, precision=precision))


def test_a_run_that_goes_well_has_nothing_to_tell() -> None:
    found = diagnosed()
    assert (found.left, found.exit_code, found.small) == ([], 0, None)
    assert found.large.losses[-1] < found.large.losses[0]


def place(found: Diagnosis) -> tuple[str, str]:
    assert found.first is not None
    return found.first.quantity.kind, found.first.quantity.name


@pytest.mark.parametrize(
    ("fault", "named", "rule"),
    [
        ("hidden lr", ("activation", "mid"), "MUP301"),
        ("input init", ("activation", "up"), "MUP102"),
        ("eps", ("eps", "up.weight"), "MUP311"),
        ("scalar init", ("activation", "mid"), "MUP107"),  # of the model itself: no module of its own holds it
    ],
)
def test_the_place_the_cause_and_the_same_in_a_small_model(fault: str, named: tuple[str, str], rule: str) -> None:
    found = diagnosed(fault)
    assert place(found) == named
    assert found.cause is not None
    assert found.cause.rule == rule
    assert found.reproduced
    assert (found.small.width if found.small is not None else 0) == 32


def test_a_learning_rate_that_is_wrong_at_every_width_is_no_fault_of_the_parametrization() -> None:
    found = diagnosed(lr=3.0)
    assert found.first is not None
    assert found.cause is None
    assert found.reproduced


def test_the_small_model_has_the_large_ones_sizes() -> None:
    """What an input layer of init n^2 makes at 512 stands at 32 too, where the model itself has 1."""
    found = diagnosed("input init")
    assert found.small is not None
    large, small = (
        next(each.values[0] for each in run.quantities if each.name == "up") for run in (found.large, found.small)
    )
    assert small == pytest.approx(large, rel=0.3)


@pytest.mark.parametrize(("precision", "overflows"), [("fp16", True), ("bf16", False), ("", False)])
def test_what_a_precision_cannot_hold_is_counted(precision: str, overflows: bool) -> None:
    """16^4 times what there is at the base width is beyond 65,504, the largest number of fp16, and not bf16's."""
    found = diagnosed("input overflow", precision=precision, steps=1)
    kinds = {each.quantity.kind for each in found.left}
    assert ("overflow" in kinds) == overflows
    assert any(each.kind == "underflow" for each in found.large.quantities) == bool(precision)
    assert bool(found.large.scales) == (precision == "fp16")
    assert all(math.log2(scale) % 1 == 0 for scale in found.large.scales)


def test_what_began_first_is_named_and_not_what_is_largest() -> None:
    """`up` is five times as large a step before `head` is thirty times as large."""
    run = Recorded(8, 3, None, (
        Quantity("activation", "up", "up", (1.0, 6.0, 8.0)), Quantity("activation", "head", "head", (1.0, 2.0, 50.0)),
    ))  # fmt: skip
    assert [each.quantity.name for each in leaving(run)] == ["up", "head"]
    calm = Recorded(8, 3, None, (Quantity("activation", "up", "up", (1.0, 6.0, 8.0)),))
    assert leaving(calm) == []
    lost = Recorded(8, 3, 2, (Quantity("activation", "up", "up", (1.0, 6.0, math.nan)),))
    assert [each.step for each in leaving(lost)] == [1]


def test_without_an_audit_no_cause_is_named() -> None:
    found = diagnosed("hidden lr")
    assert found.cause is not None
    assert replace(found, report=None).cause is None


def test_what_the_users_code_raises_is_told_as_that() -> None:
    class Broken(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.width > 64:
                raise ValueError("too wide for me")
            return super().forward(x)

    target = from_functions(Broken, batch=lambda width: torch.randn(4, 8), widths=(32, 64))
    with pytest.raises(UserError, match="too wide for me"):
        diagnose(target, 128, 32)


FILE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=512):
        super().__init__()
        self.up, self.mid, self.head = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 4)

    def forward(self, x):
        return self.head(torch.relu(self.mid(torch.relu(self.up(x)))))

def build(width=512):
    return Net(width)

def batch(width):
    return torch.randn(16, 8, generator=torch.Generator().manual_seed(0))

def loss(output, batch):
    return ((output - batch[:, :4]) ** 2).mean()

def optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=0.1)
"""


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(FILE)

    def run(*flags: str) -> tuple[int, str, str]:
        code = exit_code("diagnose", "model.py", "--width", "512", *flags)
        return code, *capsys.readouterr()

    code, out, err = run("--steps", "4")
    assert (code, "✗ first: activations of mid" in out) == (1, True), out + err
    assert "MUP301" in out
    assert "reproduced at width 64, carried down from 512" in out
    code, out, _ = run("--steps", "4", "--lr", "1e-4", "--format", "json")
    data: dict[str, Any] = json.loads(out)
    assert (code, data["schema"], data["left"], data["large"]["steps"]) == (0, "muaudit.diagnose/1", [], 4)
    code, _, err = run("--to", "1024")
    assert (code, "expected less than 512" in err) == (2, True)
    code, _, err = run("--precision", "fp8")
    assert (code, "unknown precision" in err) == (2, True)


def test_a_width_is_needed() -> None:
    target = from_functions(Net, batch=lambda width: torch.randn(4, 8), widths=(32, 64))
    with pytest.raises(UserError, match="no width of its own"):
        diagnose(target)
