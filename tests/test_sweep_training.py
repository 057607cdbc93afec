"""What happens between backward and step, and schedules that are compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from program import exit_code
from test_sweep import MODEL
from torch import nn

from muaudit.sweep import prepare
from muaudit.sweep.train import train_unit
from muaudit.sweep.trainings import Training, TrainingSettings, Unit
from muaudit.sweep.variant import SweepVariant
from muaudit.targets import TargetOptions, resolve


@pytest.fixture
def variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepVariant:
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    settings = TrainingSettings()
    return prepare.variant(prepare.ORIGINAL, resolve("model.py", TargetOptions()), settings)


def last_losses(variant: SweepVariant, clips: list[float | None], together: bool, **given: float) -> list[float | None]:
    settings = TrainingSettings(steps=6, tail=0.01, **given)  # type: ignore[arg-type]
    jobs = [
        Training("original", 16, 0, (("lr", 0.5), *([("clip", clip)] if clip is not None else []))) for clip in clips
    ]
    units = [Unit(tuple(jobs))] if together else [Unit((job,)) for job in jobs]
    return [outcome.loss for unit in units for outcome in train_unit(variant, unit, settings)]


def clipped_by_hand(variant: SweepVariant, clip: float) -> float:
    """torch's own `clip_grad_norm_`, in a loop of our own."""
    model, optimizer = variant.make(16, {"lr": 0.5}, 0)
    for _, batch in zip(range(6), variant.task.batches({"width": 16}, 0), strict=False):
        loss = variant.task.loss(model(*batch.args), batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return float(loss.detach())


def test_gradients_are_clipped_as_torch_does_it(variant: SweepVariant) -> None:
    expected = [clipped_by_hand(variant, clip) for clip in (0.05, 0.5)]
    assert expected[0] != pytest.approx(expected[1], rel=1e-2)
    assert last_losses(variant, [0.05, 0.5], together=False) == pytest.approx(expected, rel=1e-6)
    assert last_losses(variant, [None], together=False, clip=0.5) == pytest.approx(expected[1:], rel=1e-6)


def test_an_ensemble_clips_each_member_by_its_own_norm(variant: SweepVariant) -> None:
    apart = last_losses(variant, [0.05, 0.5, 100.0], together=False)
    assert last_losses(variant, [0.05, 0.5, 100.0], together=True) == pytest.approx(apart, rel=1e-4)
    assert apart[2] == pytest.approx(last_losses(variant, [None], together=False)[0], rel=1e-6)


def test_schedules_are_compared_each_at_its_best(variant: SweepVariant, capsys: pytest.CaptureFixture[str]) -> None:
    flags = "model.py", "--widths", "8,16", "--lr", "2^-4..2^-2", "--steps", "8", "--near", "0"
    assert exit_code("sweep", *flags, "--schedule", "linear,cosine", "--results", "two.jsonl") in (0, 1)
    text = capsys.readouterr().out
    assert "linear and cosine" in text
    assert "at width 16, each tuned there: " in text
    rows = [json.loads(line) for line in Path("two.jsonl").read_text().splitlines()[1:]]
    assert {row["variant"] for row in rows} == {"original linear", "original cosine"}
    alone = exit_code("sweep", *flags, "--schedule", "cosine", "--results", "one.jsonl")
    assert alone in (0, 1)
    own = [json.loads(line) for line in Path("one.jsonl").read_text().splitlines()[1:]]
    single = {(r["width"], r["seed"], r["lr"]): r["loss"] for r in own}
    assert {(r["width"], r["seed"], r["lr"]): r["loss"] for r in rows if "cosine" in r["variant"]} == single
    capsys.readouterr()
    assert exit_code("sweep", *flags, "--schedule", "linear,linear") == 2
    assert exit_code("sweep", *flags, "--clip", "0") == 2
    assert "--clip expects the largest norm" in capsys.readouterr().err


def test_momenta_and_a_clip_are_no_part_of_old_identities(variant: SweepVariant) -> None:
    """Results of before there was a clip go on."""
    found = prepare.identity([variant], TrainingSettings(), {})
    assert "clip" not in found
    assert "schedule" not in found["original"]
    assert prepare.identity([variant], TrainingSettings(clip=1.0), {})["clip"] == 1.0
    assert torch.is_tensor(variant.make(16, {"lr": 0.5, "clip": 1.0}, 0)[0](torch.zeros(1, 8)))
