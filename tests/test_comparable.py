"""What one of two recordings runs alone: a constant behind `if mult != 1`, and code that only one width has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import muaudit
from muaudit.findings.model import Report

BASE = 32
Scaled = Callable[[torch.Tensor, float], torch.Tensor]


def guarded(x: torch.Tensor, factor: float) -> torch.Tensor:
    if factor != 1:
        x = x * factor
    return x


class Net(nn.Module):
    """Input, hidden and readout weights; the hidden branch and the readout go through `branch` and `logits`."""

    def __init__(self, n: int, branch: Callable[[torch.Tensor, float], torch.Tensor], logits: Scaled) -> None:
        super().__init__()
        self.m = n / BASE
        self.inp = nn.Linear(6, n, bias=False)
        self.hid = nn.Linear(n, n, bias=False)
        self.head = nn.Linear(n, 4, bias=False)
        self.branch, self.logits = branch, logits
        nn.init.normal_(self.inp.weight, 0, 0.4)
        nn.init.normal_(self.hid.weight, 0, n**-0.5)
        nn.init.normal_(self.head.weight, 0, 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.inp(x)
        x = x + self.branch(self.hid(F.relu(x)), 1 / self.m)
        return self.logits(self.head(torch.tanh(x)), 1 / self.m)


def adam(model: Net) -> torch.optim.Optimizer:
    hidden = [{"params": [model.hid.weight], "lr": 1e-3 / model.m}]
    return torch.optim.Adam([*hidden, {"params": [model.inp.weight, model.head.weight]}], lr=1e-3)


def audit(branch: Scaled, logits: Scaled, widths: Any = (BASE, 2 * BASE)) -> Report:
    return muaudit.check(
        lambda width: Net(width, branch, logits), batch=lambda width: torch.randn(8, 6), optimizer=adam, widths=widths,
        loss=lambda out, batch: F.cross_entropy(out, torch.arange(8) % 4),
    )  # fmt: skip


def errors(report: Report) -> set[tuple[str, tuple[str, ...]]]:
    return {(v.rule, v.tensors) for v in report.violations if v.severity == "error"}


def plain(x: torch.Tensor, factor: float) -> torch.Tensor:
    return x * factor


def nothing(x: torch.Tensor, factor: float) -> torch.Tensor:
    return x


# The base width is the first probe, the second one, or neither.
@pytest.mark.parametrize("widths", [(BASE, 2 * BASE), (BASE // 2, BASE), (2 * BASE, 4 * BASE)])
def test_a_factor_that_is_left_out_where_it_is_1(widths: tuple[int, int]) -> None:
    """By hand: x + branch and head(x)/m are right; branch/m shrinks like 1/n, and head(x) lacks its 1/m."""
    assert errors(audit(nothing, guarded, widths)) == errors(audit(nothing, plain, widths)) == set()
    wrong = {("MUP205", ("hid.weight",))}
    assert errors(audit(guarded, plain, widths)) == errors(audit(plain, plain, widths)) == wrong


def test_the_report_says_what_was_compared() -> None:
    report = audit(nothing, guarded)
    assert report.probes == (2 * BASE, 4 * BASE)
    assert any("judged at width 64 → 128" in note and "test_comparable.py" in note for note in report.notes)


def test_code_that_no_two_widths_share_is_listed() -> None:
    """Each width runs an operation of its own: no two can be compared, so nothing is called right, or wrong."""

    def logits(x: torch.Tensor, factor: float) -> torch.Tensor:
        ways = {1.0: x.add, 0.5: x.mul, 0.25: x.div, 0.125: x.sub}
        return ways[factor](2.0)

    report = audit(nothing, logits)
    assert report.verdict == "unknown"
    assert not errors(report)
    assert {u.rule for u in report.unanalysed} == {"MUP901"}
    assert all(u.file and u.file.endswith("test_comparable.py") for u in report.unanalysed)


def test_a_loop_that_turns_more_often_is_the_same_code() -> None:
    def branch(x: torch.Tensor, factor: float) -> torch.Tensor:
        return torch.cat([part * 1.0 for part in x.split(8, dim=-1)], dim=-1)

    report = audit(branch, plain)
    assert report.probes == (BASE, 2 * BASE)
    assert report.verdict == "mup"
    assert not report.unanalysed
