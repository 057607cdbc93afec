"""Configured targets: found, merged with flags, and refused with the place and the nearest name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from muaudit.errors import UserError
from muaudit.settings import Configured, load_settings
from muaudit.settings.load import merged
from muaudit.target.options import TargetOptions

MODEL = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self, width, depth=1):
        super().__init__(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 4))
"""
TOML = """
[tool.muaudit.targets.small]
target = "net.py:Net"
width = { width = [32, 64] }
input = ["float32[4,8]"]

[tool.muaudit.targets.sgd]
target = "net.py:Net"
optimizer = "sgd"
input = ["float32[4,8]"]
profile = "lingle"
"""


def configured(folder: Path) -> dict[str, Configured]:
    return dict(load_settings(folder).targets)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "pyproject.toml").write_text(TOML)
    (tmp_path / "below").mkdir()
    return tmp_path


def test_the_nearest_file_counts_and_paths_are_relative_to_it(project: Path) -> None:
    found = configured(project / "below")
    assert list(found) == ["small", "sgd"]
    assert found["small"].target == str(project / "net.py:Net")
    assert found["small"].options.widths == {"width": (32, 64)}
    assert found["sgd"].profile == "lingle"


def test_yaml_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "muaudit.yaml").write_text("targets:\n  net:\n    target: net.py\n    set: {depth: 2}\n")
    assert configured(tmp_path)["net"].options.set == {"depth": 2}


def test_flags_beat_the_file() -> None:
    file = TargetOptions(widths={"width": (32, 64)}, set={"depth": 2, "bias": True}, optimizer="sgd")
    flags = TargetOptions(set={"depth": 3}, optimizer="adam")
    both = merged(file, flags)
    assert (both.widths, both.set, both.optimizer) == ({"width": (32, 64)}, {"depth": 3, "bias": True}, "adam")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.muaudit\n", "cannot be read"),
        ("[tool.muaudit]\ntarget = 'x'\n", "has no key 'target'"),
        ("[tool.muaudit.targets.a]\nwidht = {}\n", "has no key 'widht'"),
        ("[tool.muaudit.targets.a]\nset = {}\n", "expects target ="),
        ("[tool.muaudit.targets.a]\ntarget = 'x'\nwidth = [1]\n", "width expects a table"),
        ("[tool.muaudit.targets.a]\ntarget = 'x'\nwidth = { n = [64] }\n", "at least two different"),
    ],
)
def test_a_malformed_file_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UserError) as caught:
        configured(tmp_path)
    assert message in str(caught.value)


def test_check_without_target_audits_all_of_them(project: Path) -> None:
    command = [sys.executable, "-m", "muaudit", "check", "--format", "json"]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    reports = json.loads(run.stdout)
    assert [r["optimizer"] for r in reports] == ["adamw", "sgd"]
    assert [r["profile"] for r in reports] == ["tp5", "lingle"]
    one = subprocess.run([*command, "small"], cwd=project, capture_output=True, text=True, check=False)
    assert json.loads(one.stdout)["width"]["probes"] == [32, 64]
