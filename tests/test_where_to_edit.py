"""Where what is wrong is made, beside where it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from muaudit.audit import audit
from muaudit.findings.model import Report
from muaudit.report.json import to_dict
from muaudit.report.render import render
from muaudit.targets import resolve

MODEL = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.stem = nn.Linear(16, width)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, 8)

    def forward(self, x):
        return self.head(self.hidden(self.stem(x).relu()).relu())


class Own(torch.optim.AdamW):
    def __init__(self, params, lr):
        super().__init__(params, lr=lr, weight_decay=0.3)


def build(width):
    return Net(width)


def batch(width):
    return torch.randn(8, 16)


def optimizer(model):
    groups = list(model.parameters())
    return MAKE
"""
LAST = MODEL.count("\n")


@pytest.fixture(scope="module", params=["torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.3)", "Own(groups, 1e-3)"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    path = tmp_path_factory.mktemp("model") / "model.py"
    path.write_text(MODEL.replace("MAKE", request.param), encoding="utf-8")
    return audit(resolve(str(path)))


def lines(report: Report, rule: str) -> tuple[int | None, int | None]:
    found = next(v for v in report.violations if v.rule == rule)
    return found.line, found.made_line


def test_findings_point_at_what_makes_them(report: Report) -> None:
    """A class of one's own is made where it is called, not where it calls torch's."""
    assert lines(report, "MUP301") == (13, LAST)
    assert lines(report, "MUP104") == (13, 9)
    assert lines(report, "MUP202") == (13, None)
    assert lines(report, "MUP503") == (LAST, None)


def test_it_is_told(report: Report) -> None:
    text = render(report)
    assert f"model.py:{LAST}, the optimizer" in text
    assert "model.py:9, the parameter" in text
    told = {each["rule"]: each["made_line"] for each in to_dict(report)["violations"]}
    assert told["MUP301"] == LAST


def test_what_is_made_by_default_is_nobodys_line(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL.partition("def build")[0], encoding="utf-8")
    assert lines(audit(resolve(str(path))), "MUP301") == (13, None)
