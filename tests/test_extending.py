"""What docs/development.md says of adding a rule and a format, done; and that the functions it names are there."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from muaudit.audit import violations
from muaudit.findings.discrepancy import Discrepancy
from muaudit.parametrizations.profiles import TP5
from muaudit.report import render
from muaudit.report.listing import Run
from muaudit.rules import RULES, Rule

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


class Doubtful(Rule):
    code = "MUP999"
    name = "doubtful"
    severity = "warning"
    summary = "a bias whose init is in doubt"

    def matches(self, d: Discrepancy) -> bool:
        return d.detail == "doubtful"

    def message(self, d: Discrepancy) -> str:
        return f"{d.tensors[0]} is in doubt"

    def fix(self, d: Discrepancy) -> str:
        return "look again"


def test_a_rule_is_a_class_and_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(violations, "RULES", (*(rule for rule in RULES if rule.code != "MUP104"), Doubtful()))
    doubt = Discrepancy("init", "bias", ("a.bias",), "a.bias", 1.0, 0.0, None, None, detail="doubtful")
    (found,) = violations.judge([doubt], TP5)
    assert (found.rule, found.severity, found.message, found.fix) == (
        "MUP999", "warning", "a.bias is in doubt", "look again",
    )  # fmt: skip


def test_a_format_is_a_file_and_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    file = ModuleType("muaudit.report.count")
    file.render_count = lambda run: f"{len(run.reports)} reports\n"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "muaudit.report.count", file)
    monkeypatch.setattr(render, "FORMATS", (*render.FORMATS, "count"))
    assert render.render_run(Run((), Path.cwd()), "count", render.Look()) == "0 reports\n"


def test_the_architecture_has_a_line_for_every_package() -> None:
    section = ARCHITECTURE.partition("## Packages")[2].partition("\n## ")[0]
    packages = {each.parent.name for each in (ROOT / "muaudit").glob("*/__init__.py")}
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(packages)


def test_the_way_of_a_parameter_names_functions_that_are_there() -> None:
    section = ARCHITECTURE.partition("## The way of one parameter")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE)
    assert len(named) > 12
    for name in named:
        module, _, function = name.rpartition(".")
        assert callable(getattr(import_module(f"muaudit.{module}"), function)), name


def test_the_tests_that_it_names_are_there() -> None:
    for test, file in re.findall(r"Shown by `(\w+)` in `(tests/\w+\.py)`", PAGE):
        assert f"def {test}(" in (Path(__file__).parents[1] / file).read_text(encoding="utf-8")
