"""The verifier: a parameter that no use and no reason accounts for is never taken for a right one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import muaudit
from muaudit.analysis.verifier import STRICT, Unaccounted
from muaudit.errors import UserError
from muaudit.findings.model import Report
from muaudit.solve.uses import Solver


class Net(nn.Module):
    """Two hidden layers, and parameters that are read in ways that train nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, 4)
        self.idle = nn.Parameter(torch.ones(width))
        self.unread = nn.Parameter(torch.ones(width))
        self.table = nn.Parameter(torch.ones(width), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.hidden(torch.relu(self.embed(x)))) * (1 + self.table.detach())
        (y * self.idle).sum()  # and nothing reads it
        return self.head(y)


def audited() -> Report:
    return muaudit.check(Net, batch=lambda width: torch.randn(4, 8), widths=(32, 64))


def listed(report: Report) -> dict[str, tuple[str, str]]:
    return {each.name: (each.rule, each.reason) for each in report.unanalysed}


def test_each_parameter_that_is_not_judged_has_its_own_reason() -> None:
    report = audited()
    assert listed(report) == {"unread": ("MUP904", "never used in the recorded forward pass")}
    assert [v.tensors for v in report.violations if v.rule == "MUP405"] == [("idle",)]  # read, and never trained
    reasons = [each.rule for each in report.derivations["unread"] if each.op == "uses"]
    assert reasons == ["never used in the recorded forward pass"]
    judged = {row.name for row in report.tensors if row.roles}
    assert judged == {f"{layer}.{part}" for layer in ("embed", "hidden", "head") for part in ("weight", "bias")}


class Bounded(Net):
    """A trained bound, of which the program keeps nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).clamp(min=self.floor)

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.floor = nn.Parameter(torch.zeros(4))


def test_what_is_trained_and_not_understood_is_not_called_unused() -> None:
    report = muaudit.check(Bounded, batch=lambda width: torch.randn(4, 8), widths=(32, 64))
    assert listed(report)["floor"] == ("MUP901", "how aten.clamp depends on it is not understood")


class OneStep(nn.Module):
    """A recurrent layer that is run for its first step alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.cell, self.head = width, nn.GRUCell(8, width), nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(x, torch.zeros(len(x), self.width)))


def test_what_is_multiplied_with_zeros_says_so() -> None:
    report = muaudit.check(OneStep, batch=lambda width: torch.randn(4, 8), widths=(32, 64))
    assert listed(report)["cell.weight_hh"] == (
        "MUP901", "what it multiplies is zero in the recorded pass, as first states are"
    )  # fmt: skip


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver that makes no use of one weight."""
    run = Solver.run

    def forgets(self: Solver) -> Any:
        ideal = run(self)
        ideal.uses = [use for use in ideal.uses if use.tensor != "hidden.weight"]
        return ideal

    monkeypatch.setattr(Solver, "run", forgets)


@pytest.mark.usefixtures("forgetful")
def test_a_lost_use_is_an_error_where_it_is_asked_for() -> None:
    with pytest.raises(Unaccounted, match=r"hidden\.weight: the use by aten\.addmm was lost"):
        audited()


@pytest.mark.usefixtures("forgetful")
def test_and_listed_as_not_analysed_for_everybody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STRICT)
    report = audited()
    rule, reason = listed(report)["hidden.weight"]
    assert rule == "MUP901"
    assert "was lost" in reason
    assert report.verdict != "mup"


def test_a_weight_counted_twice_is_no_right_count(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Solver.run

    def repeats(self: Solver) -> Any:
        ideal = run(self)
        ideal.uses = [*ideal.uses, *(use for use in ideal.uses if use.tensor == "head.weight")]
        return ideal

    monkeypatch.setattr(Solver, "run", repeats)
    with pytest.raises(Unaccounted, match=r"head\.weight"):
        audited()


def test_the_error_is_one_of_ours_and_no_fault_of_the_user() -> None:
    assert not issubclass(Unaccounted, UserError)
