"""Runs are judged by data that they were not trained on, where there are some."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from program import exit_code
from torch import nn

from muaudit.errors import UserError
from muaudit.sweep.tasks import choose
from muaudit.targets import TargetOptions, resolve

MODEL = """
import torch
from torch import nn
from torch.nn import functional as F

g = torch.Generator().manual_seed(0)
X, OTHERS = torch.randn(64, 8, generator=g), torch.randn(48, 8, generator=g)

def build(width):
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, 4))

def labels(x):
    return x[:, :4].argmax(-1)

def batches(width, seed):
    while True:
        yield X, labels(X)

def held_out(width):
    return [(OTHERS[:32], labels(OTHERS[:32])), (OTHERS[32:], labels(OTHERS[32:]))]

def loss(output, batch):
    return F.cross_entropy(output, batch[1])
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def runs(here: Path, *flags: str) -> dict[float, float]:
    """The losses of the narrowest width by learning rate."""
    results = here / "found.jsonl"
    results.unlink(missing_ok=True)
    assert exit_code("sweep", "--results", str(results), "--seeds", "1", "--near", "0", *flags) in (0, 1)
    rows = [json.loads(line) for line in results.read_text().splitlines()[1:]]
    narrow = min(row["width"] for row in rows)
    return {row["lr"]: row["loss"] for row in rows if row["width"] == narrow}


def test_the_loss_of_what_is_held_out_is_that_of_the_model_as_it_is_used(here: Path) -> None:
    """With a learning rate that changes nothing: the model as it starts, without dropout, over both batches."""
    made = runpy.run_path("model.py")
    torch.manual_seed(0)
    model: nn.Module = made["build"](16).eval()
    with torch.no_grad():
        expected = sum(float(made["loss"](model(batch[0]), batch)) for batch in made["held_out"](16)) / 2
    flags = "model.py", "--widths", "16,32", "--lr", "1e-12,2e-12", "--steps", "3"
    assert runs(here, *flags)[1e-12] == pytest.approx(expected, rel=1e-6)
    assert runs(here, *flags, "--training-loss")[1e-12] != pytest.approx(expected, rel=1e-3)


def test_what_was_learned_by_heart_is_told_from_what_was_learned(here: Path) -> None:
    flags = "model.py", "--widths", "64,128", "--lr", "2^-7,2^-6", "--steps", "200"
    judged, by_heart = runs(here, *flags), runs(here, *flags, "--training-loss")
    assert all(judged[lr] > 2 * by_heart[lr] for lr in judged)


def test_runs_trained_together_are_judged_one_by_one(here: Path) -> None:
    pytest.importorskip("sklearn")
    fixture = str(Path(__file__).parent.parent / "fixtures" / "mlp" / "sp.py")
    flags = fixture, "--set", "d_in=64", "--data", "digits", "--widths", "16,32", "--lr", "2^-8..2^-6", "--steps", "20"
    apart, together = (runs(here, *flags, "--together", number) for number in ("1", "3"))
    assert together == pytest.approx(apart, rel=1e-4)


def rows_of(batches: Any) -> set[tuple[float, ...]]:
    return {tuple(row.flatten().tolist()) for each in batches for row in each.args[0]}


def test_digits_that_are_held_out_are_never_trained_on() -> None:
    pytest.importorskip("sklearn")
    target = resolve("fixtures/mlp/sp.py", TargetOptions(set={"d_in": 64}))
    task = choose(target, "digits", 32)
    assert task.held_out is not None
    kept, stream = rows_of(task.held_out(target.sizes(0))), task.batches(target.sizes(0), 3)
    assert len(kept) == 360
    assert not kept & rows_of(next(stream) for _ in range(60))  # more than an epoch


def test_the_end_of_the_text_is_held_out() -> None:
    """The same for every run, and nothing of it is in what is trained on; the model sees all of its characters."""
    target = resolve("fixtures/gpt/sp.py", TargetOptions(set={"vocab_size": 64, "block_size": 32}))
    task = choose(target, "text", 8)
    assert task.held_out is not None
    kept, again = (rows_of(task.held_out(target.sizes(0))) for _ in range(2))
    stream = task.batches(target.sizes(0), 0)
    assert kept == again
    assert not kept & rows_of(next(stream) for _ in range(200))


def test_a_held_out_of_nothing_is_refused(here: Path) -> None:
    (here / "model.py").write_text(MODEL.replace("return [(OTHERS[:32]", "return [] and [(OTHERS[:32]"))
    target = resolve("model.py", TargetOptions())
    assert target.held_out is not None
    with pytest.raises(UserError, match=r"held_out\(width\) gave no batch"):
        target.held_out(target.sizes(0))
