"""`assert_mup`: what passes, what fails and how it reads, what it leaves alone; the fixture inside a real pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from muaudit.errors import UserError
from muaudit.testing import assert_mup


class Net(nn.Module):
    def __init__(self, width: int, base: int | None = None) -> None:
        super().__init__()
        self.up, self.mid = nn.Linear(8, width, bias=False), nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)
        self.factor = base / width if base else 1.0

    def forward(self, x: torch.Tensor) -> Any:
        x = torch.tanh(self.mid(torch.tanh(self.up(x))))
        return self.head(x) * self.factor  # muaudit: ignore[MUP501] this readout is drawn, not zero


def batch(width: int) -> torch.Tensor:
    return torch.ones(4, 8)


def mu_adam(model: Any) -> torch.optim.Optimizer:
    hidden, others = [model.mid.weight], [model.up.weight, model.head.weight]
    rate = 0.01 * 64 / model.mid.weight.shape[0]
    return torch.optim.Adam([{"params": hidden, "lr": rate}, {"params": others}], lr=0.01)


def test_a_model_in_mup_passes_and_nothing_random_moves() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    report = assert_mup(
        lambda width: Net(width, 64), batch=batch, optimizer=mu_adam, widths=(32, 64), fail_on="advice",
        ignore=["MUP510", "MUP511"],
    )  # fmt: skip
    assert report.verdict == "mup"
    assert "MUP501" in [each.violation.rule for each in report.answered]  # the comment counts
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_in_sp_fails_with_the_report() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_mup(Net, batch=batch, widths=(32, 64))
    text = str(caught.value)
    assert "✗ standard parametrization (SP)" in text
    assert "error MUP202 readout-multiplier-missing" in text
    assert "return self.head(x) * self.factor" in text
    assert "error MUP301" not in str(_failure(select=["MUP2"]))
    assert _failure(ignore=["MUP2", "hidden-lr"]) is None


def _failure(**flags: Any) -> AssertionError | None:
    try:
        assert_mup(Net, batch=batch, widths=(32, 64), **flags)
    except AssertionError as error:
        return error
    return None


def test_a_target_goes_by_its_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(Path(__file__).read_text())
    (tmp_path / "muaudit.yaml").write_text(
        "targets:\n  net: {target: 'net.py:Net', width: {width: [32, 64]}, input: ['float32[4,8]']}\n"
        "  lenient: {target: 'net.py:Net', width: {width: [32, 64]}, input: ['float32[4,8]'], ignore: [MUP2, MUP3]}\n"
    )
    assert assert_mup("lenient").name == "lenient"
    with pytest.raises(AssertionError, match="net: Net, width 32 → 64"):
        assert_mup("net")
    with pytest.raises(UserError, match=r"no configured target is called 'lenent'\ndid you mean lenient"):
        assert_mup("lenent")
    with pytest.raises(UserError, match=r"takes no batch: a target says so itself"):
        assert_mup("net", batch=batch)
    with pytest.raises(UserError, match="did you mean error"):
        assert_mup("lenient", fail_on="eror")  # type: ignore[arg-type]


TEST = """
import sys

heavy = [name for name in ("torch", "numpy", "rich", "yaml") if name in sys.modules]


def test_start():
    assert not heavy


def test_net(assert_mup):
    from test_testing import Net, batch

    assert_mup(Net, batch=batch, widths=(32, 64))
"""


def test_the_fixture_in_a_pytest_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": path}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "muaudit.testing.plugin", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "E       error MUP202 readout-multiplier-missing" in done.stdout
    assert "muaudit/testing" not in done.stdout.partition("short test summary")[0].replace(str(tmp_path), "")
