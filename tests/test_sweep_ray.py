"""`muaudit sweep --ray` on a local Ray that is started here: the same results, also when a worker is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")

MODEL = """
import os
import signal
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

HERE = Path({here!r})


def build(width):
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 3))


def batches(width, seed):
    generator = torch.Generator().manual_seed(seed)
    for step in range(1000):
        if step == 5 and width == 16 and "RAY_JOB_ID" in os.environ and not (HERE / "killed").exists():
            (HERE / "killed").write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        x = torch.randn(16, 8, generator=generator)
        yield x, x[:, :3].argmax(-1)


def loss(output, batch):
    return F.cross_entropy(output, batch[1])


def optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=0.01)
"""
FLAGS = ("--widths", "8,16", "--lr", "2^-8..2^-3", "--steps", "20", "--together", "2", "--seeds", "2")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    found = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield found.address_info["gcs_address"]
    ray.shutdown()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(MODEL.format(here=str(tmp_path)))
    return tmp_path


def sweep(here: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "muaudit", "sweep", "model.py", *FLAGS, *flags]
    return subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=120, check=False)


def test_a_killed_worker_changes_nothing(here: Path, address: str) -> None:
    apart = sweep(here, "--results", "here.jsonl")
    assert apart.returncode in (0, 1), apart.stderr
    sent = sweep(here, "--results", "ray.jsonl", "--ray", address)
    assert sent.returncode == apart.returncode, sent.stderr
    assert (here / "killed").exists()
    assert (here / "ray.jsonl").read_bytes() == (here / "here.jsonl").read_bytes()
    assert sent.stdout == apart.stdout.replace("here.jsonl", "ray.jsonl")


def test_more_than_the_cluster_has_is_said(here: Path, address: str) -> None:
    found = sweep(here, "--results", "ray.jsonl", "--ray", address, "--ray-cpus", "3")
    assert found.returncode == 2
    assert "a run asks for 3 CPUs, the Ray cluster has 2" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_user_error_on_a_worker_is_said(here: Path, address: str) -> None:
    fails = "        if step == 7:\n            raise ValueError('no more')\n"
    text = (here / "model.py").read_text()
    (here / "model.py").write_text(text.replace("        if step == 5", fails + "        if step == 5"))
    (here / "killed").touch()
    found = sweep(here, "--results", "ray.jsonl", "--ray", address)
    assert found.returncode == 2
    assert "no more" in found.stderr
    assert "Traceback" not in found.stderr
