"""Coordinate check and sweep on a device: everything is on it, and it is waited for once a run, not once a number."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gpu
import pytest
import standin
import torch
from standin import NAME, RAN, WAITS, Held, apart
from torch import nn

from muaudit.errors import UserError
from muaudit.sweep.sweep_request import SweepRequest
from muaudit.sweep.sweep_task import carry_out
from muaudit.targets import from_functions
from muaudit.training import beforehand, run_settings
from muaudit.training.measure import measure
from muaudit.training.run_settings import RunSettings, check_settings

pytestmark = pytest.mark.skipif(
    not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch takes no backend from Python",
)
MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.up, self.norm, self.mid = nn.Linear(16, width), nn.LayerNorm(width), nn.Linear(width, width)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        return self.head(torch.relu(self.mid(torch.relu(self.norm(self.up(x))))))


def build(width=32):
    return Net(width)


def batch(width):
    return torch.randn(4, 16)
"""


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_settings, "DEVICES", (*run_settings.DEVICES, NAME))


def checked(device: str, steps: int, seeds: int = 1) -> tuple[Any, int]:
    """The losses of a coordinate check, and how often the device was waited for."""
    namespace: dict[str, Any] = {}
    exec(MODEL, namespace)
    target = from_functions(namespace["build"], batch=namespace["batch"])
    WAITS.entries.clear()
    run = measure(target, RunSettings((32, 64), steps, seeds, 0, device, together=False))
    return run.loss.tolist(), WAITS.count


def test_a_coordinate_check_waits_once_a_run() -> None:
    def work() -> Any:
        few, waited = checked(NAME, 2)
        more, waited_longer = checked(NAME, 4)
        return few, waited, more, waited_longer, dict(RAN)

    few, waited, more, waited_longer, ran = apart(work)
    assert waited == waited_longer == 2  # widths, of one seed each
    assert ran["addmm"] > 20
    assert more[0][0][:3] == pytest.approx(few[0][0])


def test_it_measures_what_the_cpu_measures() -> None:
    there, _ = apart(lambda: checked(NAME, 3, 2))
    here, _ = apart(lambda: checked("cpu", 3, 2))
    for ours, others in zip(there, here, strict=True):
        for our, other in zip(ours, others, strict=True):
            assert our == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize("together", [1, 2])
def test_a_sweep_waits_a_few_times_a_run(tmp_path: Path, together: int) -> None:
    (tmp_path / "model.py").write_text(MODEL)

    def work() -> Any:
        losses = {}
        for device in (NAME, "cpu"):
            request = SweepRequest(
                str(tmp_path / "model.py"), widths="8,16", lr="0.03,0.1", seeds=1, steps=25, data="teacher",
                device=device, together=together, results=tmp_path / f"{device}.jsonl",
            )  # fmt: skip
            WAITS.entries.clear()
            carry_out(request)
            losses[device] = (tmp_path / f"{device}.jsonl").read_text().splitlines()[1:]
            if device == NAME:
                waits = WAITS.count, dict(WAITS.operations)
        return losses, waits, RAN["addmm"] + RAN["bmm"] + RAN["baddbmm"]

    losses, (waits, operations), ran = apart(work)
    assert len(losses[NAME]) == len(losses["cpu"]) == 4
    assert ran > 20
    assert waits <= 20, operations  # of four runs of 25 steps, whose losses are looked at every ten


def test_the_stand_in_refuses_what_an_accelerator_refuses() -> None:
    def work() -> Any:
        layer = nn.Linear(3, 3).to(NAME)
        assert all(isinstance(each, Held) and each.device.type == NAME for each in layer.parameters())
        with pytest.raises(RuntimeError, match="expected all tensors on standin"):
            layer(torch.randn(2, 3))
        out = layer(torch.randn(2, 3).to(NAME)).sum()
        assert WAITS.count == 0
        assert out.item() == pytest.approx(float(out.cpu()))
        return WAITS.count

    assert apart(work) == 2


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps", "xpu", "cpu"])
def test_the_devices_that_torch_has_are_taken_by_both(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_settings(RunSettings(device=device)).device == device
    if device != "cpu":
        for module in (torch.cuda, torch.backends.mps, torch.xpu):
            monkeypatch.setattr(module, "is_available", lambda: False)
        with pytest.raises(UserError, match=f"device '{device}' is not there"):
            beforehand.check_device(device)
    with pytest.raises(UserError, match="unknown device 'tpu'"):
        check_settings(RunSettings(device="tpu"))


def test_the_script_for_an_accelerator_runs_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = replace(gpu.SMALL, widths=(16, 32), dtypes=("fp32",), steps=1, seed_width=16, sweep_width=16)
    monkeypatch.setattr(gpu, "SMALL", replace(small, input="int64[2,8]", sweep_steps=11))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--small", "--device", "cpu"])
    gpu.main()
    printed = capsys.readouterr().out
    assert len(re.findall(r"^  fp32 to 32: \w+, [\d.]+ s", printed, re.M)) == 2  # as it comes, converted
    assert re.search(r"2 seeds together at 16, 32: [\d.]+x of one .*, [\d.]+x of 2 one after another", printed)
    assert re.search(r"2 learning rates together at 16, 32: [\d.]+x of one", printed)


def test_nothing_of_the_stand_in_is_left() -> None:
    assert standin._KEPT == []
    assert torch._C._get_privateuse1_backend_name() == "privateuseone"
