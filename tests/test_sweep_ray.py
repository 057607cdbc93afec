"""`muaudit sweep --ray` on a local Ray that is started here: the same results, also when a worker is killed."""

from __future__ import annotations

import re
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


def untimed(text: str) -> str:
    """Without the time that further seeds would take, which was measured."""
    return re.sub(r"\(about [^)]*\)", "", text)


def test_a_killed_worker_changes_nothing(here: Path, address: str) -> None:
    apart = sweep(here, "--results", "here.jsonl")
    assert apart.returncode in (0, 1), apart.stderr
    sent = sweep(here, "--results", "ray.jsonl", "--ray", address)
    assert sent.returncode == apart.returncode, sent.stderr
    assert (here / "killed").exists()
    assert (here / "ray.jsonl").read_bytes() == (here / "here.jsonl").read_bytes()
    assert untimed(sent.stdout) == untimed(apart.stdout.replace("here.jsonl", "ray.jsonl"))


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


SCRIPT = """
import argparse, math, os
from pathlib import Path

p = argparse.ArgumentParser()
for name, kind in (("width", int), ("lr", float), ("seed", int), ("steps", int), ("schedule", str)):
    p.add_argument(f"--{name}", type=kind, default=0)
a = p.parse_args()
with Path("runs.txt").open("a") as log:
    log.write(f"{os.getppid()} {a.steps}\\n")
print("loss:", (math.log2(a.lr) + 6) ** 2 / a.width + 1 + 0.01 * a.seed - (a.schedule == "linear"))
"""


def muaudit(here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "muaudit", *arguments]
    return subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=200, check=False)


def test_a_script_is_run_on_the_cluster(tmp_path: Path, address: str) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    command = f"{sys.executable} train.py --width {{width}} --lr {{lr}} --seed {{seed}}"
    flags = "sweep", "--command", command, "--widths", "8,16", "--lr", "2^-8..2^-4", "--results"
    apart = muaudit(tmp_path, *flags, "here.jsonl")
    assert apart.returncode == 0, apart.stderr
    before = set((tmp_path / "runs.txt").read_text().split("\n"))
    sent = muaudit(tmp_path, *flags, "ray.jsonl", "--ray", address)
    assert sent.returncode == 0, sent.stderr
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()
    assert len({line.split()[0] for line in (tmp_path / "runs.txt").read_text().split("\n") if line} - before) >= 2
    (tmp_path / "train.py").write_text("raise SystemExit('no such data set')")
    failed = muaudit(tmp_path, *flags, "failed.jsonl", "--ray", address)
    assert failed.returncode == 2
    assert "on a Ray worker" in failed.stderr
    assert "no such data set" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_search_is_made_on_the_cluster(here: Path, address: str) -> None:
    """A model, whose worker is killed once, and a script: both horizons, and the same results as here."""
    (here / "train.py").write_text(SCRIPT)
    command = f"{sys.executable} train.py --width {{width}} --lr {{lr}} --seed {{seed}} --steps {{steps}}"
    command += " --schedule {schedule}"
    flags = "--at", "16", "--lr", "1e-3..1e-1", "--samples", "4", "--finalists", "2", "--steps", "10"
    flags += "--schedule", "constant,linear"
    for what in (("model.py",), ("--command", command)):
        apart = muaudit(here, "tune", *what, *flags, "--results", "here.jsonl")
        assert apart.returncode == 0, apart.stderr
        sent = muaudit(here, "tune", *what, *flags, "--results", "ray.jsonl", "--ray", address)
        assert sent.returncode == 0, sent.stderr
        assert (here / "ray.jsonl").read_bytes() == (here / "here.jsonl").read_bytes()
        assert sent.stdout == apart.stdout.replace("here.jsonl", "ray.jsonl")
        assert all(f'"{horizon} linear"' in (here / "ray.jsonl").read_text() for horizon in ("short", "long"))
        for name in ("here.jsonl", "ray.jsonl"):
            (here / name).unlink()
    assert (here / "killed").exists()
    assert {line.split()[1] for line in (here / "runs.txt").read_text().splitlines()} == {"10", "20"}


def test_a_cluster_that_is_not_there_is_said_for_scripts_and_searches(tmp_path: Path) -> None:
    nowhere = "--ray", "127.0.0.1:1"
    command = "true {width} {lr} {seed} {steps}"
    for arguments in (
        ("sweep", "--command", command.replace(" {steps}", ""), "--widths", "8,16", "--lr", "0.1,0.2"),
        ("tune", "--command", command, "--at", "8", "--lr", "0.1,0.2", "--samples", "2", "--finalists", "1"),
    ):
        found = muaudit(tmp_path, *arguments, *nowhere)
        assert found.returncode == 2
        assert "127.0.0.1:1: no Ray cluster answers there" in found.stderr
