"""`muaudit tune`: what is drawn, how the best is told, and the command from end to end on a small model."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from program import app

from muaudit.errors import UserError
from muaudit.sweep.script_command import Script
from muaudit.sweep.sweep_request import SweepRequest
from muaudit.sweep.trainings import Training, TrainingOutcome
from muaudit.tune.ranking import LONG, SHORT, finalists_of, first_losses, job, rank
from muaudit.tune.sample import Sample
from muaudit.tune.tune_request import TuneRequest, check_tune
from muaudit.tune.tune_task import carry_out

MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x):
        return self.c(self.b(self.a(x).relu()).relu())
"""


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as stop:
        app(["tune", *args], prog_name="muaudit")
    return stop.value.code if isinstance(stop.value.code, int) else 0


def request(**options: object) -> TuneRequest:
    shared = SweepRequest(lr="1e-4..1e-1", hp=("readout=2^-2..2^2", "weight_decay=0,0.1", "beta1=0.8..0.99"))
    return TuneRequest(shared, **options)  # type: ignore[arg-type]


def test_samples_are_drawn_within_their_ranges_and_more_keep_the_first() -> None:
    few, many = (request(samples=count) for count in (8, 200))
    drawn = many.drawn(many.space(()))
    assert few.drawn(few.space(())) == drawn[:8]
    assert len(set(drawn)) == 200
    values = {name: [sample.hp[name] for sample in drawn] for name in ("lr", "readout", "weight_decay", "beta1")}
    assert 1e-4 <= min(values["lr"]) < 2e-4 < 0.08 < max(values["lr"]) <= 0.1  # up to the end of the range
    assert set(values["weight_decay"]) == {0.0, 0.1}
    assert all(0.25 <= value <= 4 for value in values["readout"])
    below = sum(value < 1 for value in values["readout"])  # evenly in factors of two
    assert 70 <= below <= 130
    assert all(0.8 <= value <= 0.99 for value in values["beta1"])


SAMPLES = [Sample((("lr", lr),)) for lr in (0.1, 0.2, 0.4, 0.8)]


def outcomes(losses: dict[str, list[list[float]]]) -> dict[str, TrainingOutcome]:
    """variant → per sample the losses by seed, infinite where it diverged."""
    found = {}
    for variant, table in losses.items():
        for sample, row in zip(SAMPLES, table, strict=False):
            for seed, loss in enumerate(row):
                each = job(variant, 64, seed, sample)
                found[each.key] = TrainingOutcome(each, loss if math.isfinite(loss) else None, 5.0, 10)
    return found


def test_seeds_that_did_not_choose_the_finalists_choose_the_best() -> None:
    """Seed 0 flatters the second sample; the others find the first one better by 10 %, and the third as good."""
    short = [[2.0, 2.0, 2.1, 2.2], [1.5, 2.2, 2.31, 2.42], [1.9, 2.1, 2.0, 2.21], [math.inf, 9, 9, 9]]
    done = outcomes({SHORT: short, LONG: [[], [0.0, 1.0, 1.0, 1.0], [0.0, 1.1, 1.1, 1.1]]})
    chosen = finalists_of(first_losses(done, 64, 0, SAMPLES), 3)
    assert chosen == [SAMPLES[1], SAMPLES[2], SAMPLES[0]]
    found = rank(done, 64, range(1, 4), SAMPLES, chosen, 0)
    assert [each.sample for each in found.finalists] == [SAMPLES[0], SAMPLES[2], SAMPLES[1]]
    assert [each.tied for each in found.finalists] == [True, True, False]
    assert found.finalists[2].above.value == pytest.approx(0.1)
    assert found.best_of_long is not None
    assert found.best_of_long.sample == SAMPLES[1]
    assert found.samples[3] == (SAMPLES[3], math.inf)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 2}, "--finalists 4 of 2 samples"),
        ({"longer": 1.2}, "--longer expects a factor"),
        ({"target_width": 1024}, "say together"),
    ],
)
def test_searches_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_tune(request(**options))
    with pytest.raises(UserError, match="needs 3 or more"):
        check_tune(replace(request(), sweep=replace(request().sweep, seeds=2)))


def test_a_search_from_end_to_end_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    flags = ["model.py", "--at", "8", "--data", "teacher", "--samples", "5", "--finalists", "2", "--steps", "6"]
    flags += ["--lr", "1e-4..1e-1", "--hp", "readout=0.5..2", "--target-width", "128", "--target-steps", "600"]
    assert run(*flags, "--results", "whole.jsonl", "--plot", "search.svg") == 0
    out, err = capsys.readouterr()
    assert "planned: 5 samples at width 8, 6 steps; the best 2 with 3 other seeds, and with 12 steps" in err
    assert "best: lr" in out
    # parameters: 8·9 + 8·9 + 27 = 171 at width 8, 128·9 + 128·129 + 387 = 18,051 at 128; 5·6 + 6·6 + 6·12 steps
    assert f"the search took {100 * 138 * 171 / (600 * 18051):.2g} % of the target's training" in out
    assert "log2 readout" in (tmp_path / "search.svg").read_text()
    whole = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    assert len(whole) == 1 + 5 + 2 * 3 * 2
    (tmp_path / "part.jsonl").write_text("".join(whole[:7]))
    assert run(*flags, "--results", "part.jsonl", "--format", "json") == 0
    assert (tmp_path / "part.jsonl").read_text() == "".join(whole)
    report = json.loads(capsys.readouterr().out)
    assert len(report["samples"]) == 5
    assert report["finalists"][0]["above"] == 0


def test_what_is_left_of_a_search_includes_the_finalists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are told by a clock that every run moves on by one: 6 samples, 2 finalists of 3 seeds, as many twice as
    long. After the first sample 5 + 6 short and 6 long ones are left."""
    monkeypatch.chdir(tmp_path)
    shared = SweepRequest(command="true {width} {lr} {seed} {steps}", lr="1e-4..1e-1", steps=10)
    told: list[tuple[int, float | None]] = []

    def outcome(script: Script, each: Training, *_: object) -> TrainingOutcome:
        now[0] += 2.0 if "20" in script.command.split() else 1.0
        return TrainingOutcome(each, dict(each.values)["lr"], None, 10)

    now = [0.0]
    monkeypatch.setattr(Script, "outcome", outcome)
    monkeypatch.setattr(sys.modules[Script.__module__], "time", SimpleNamespace(monotonic=lambda: now[0]))
    asked = TuneRequest(shared, at=8, samples=6, finalists=2)
    carry_out(asked, lambda done, total, what, left: told.append((done, left)))
    assert [told[0], told[5], told[11], told[12], told[-1]] == [(1, 11 + 12), (6, 18), (12, 12), (13, 10), (18, 0)]


SCRIPT = """
import argparse, math
from pathlib import Path

p = argparse.ArgumentParser()
for name, kind in (("width", int), ("lr", float), ("seed", int), ("steps", int), ("wd", float)):
    p.add_argument(f"--{name}", type=kind)
a = p.parse_args()
with Path("runs.txt").open("a") as log:
    log.write(f"{a.steps}\\n")
print("loss:", (math.log2(a.lr) + 6) ** 2 + a.wd + 0.01 * a.seed / a.steps)
"""


def test_a_script_is_searched_by_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    command = "train.py --width {width} --lr {lr} --seed {seed} --steps {steps} --wd {weight_decay}"
    command = f"{sys.executable} {command}"
    flags = "--lr", "2^-7,2^-6,2^-5", "--hp", "weight_decay=0,0.5", "--grid", "--steps", "10", "--finalists", "2"
    assert run("--command", command, "--at", "64", *flags, "--format", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["samples"]) == 6
    assert [each["values"] for each in report["finalists"]] == [
        {"lr": 2**-6, "weight_decay": 0.0}, {"lr": 2**-6, "weight_decay": 0.5}
    ]  # fmt: skip
    steps = (tmp_path / "runs.txt").read_text().split()
    assert (steps.count("10"), steps.count("20")) == (6 + 2 * 3, 2 * 3)
    assert run("--command", command, "--at", "64", *flags) == 0  # nothing is run twice
    assert (tmp_path / "runs.txt").read_text().split() == steps
    capsys.readouterr()
    for wrong, words in (
        (("--command", command.replace("{steps}", "5"), "--at", "64"), "--command has no {steps}"),
        (("--command", command), "--command needs --at"),
        (("--command", command, "--at", "64", "--data", "text"), "--command and --data"),
        (("--loss-file", "x.csv"), "--loss-file and --loss-name are for runs of a script"),
    ):
        assert run(*wrong, *flags) == 2
        assert words in capsys.readouterr().err


def test_schedules_are_drawn_evenly_or_combined_and_one_asks_for_nothing_new() -> None:
    alone, several = (request(samples=200), request(samples=200))
    several = replace(several, sweep=replace(several.sweep, schedule="constant,cosine,linear"))
    one = replace(alone, sweep=replace(alone.sweep, schedule="cosine"))
    assert one.drawn(one.space(())) == alone.drawn(alone.space(()))
    drawn = several.drawn(several.space(()))
    counts = Counter(sample.schedule for sample in drawn)
    assert set(counts) == {"constant", "cosine", "linear"}
    assert all(40 <= count <= 95 for count in counts.values())  # 67 ± 4 standard deviations
    shared = SweepRequest(lr="0.1,0.2", schedule="constant,cosine")
    grid = TuneRequest(shared, grid=True)
    assert [(sample.hp["lr"], sample.schedule) for sample in grid.drawn(grid.space(()))] == [
        (0.1, "constant"), (0.1, "cosine"), (0.2, "constant"), (0.2, "cosine")
    ]  # fmt: skip


def test_every_run_trains_under_the_schedule_that_was_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A search over three against one for each schedule alone: the same learning rate ends at the same loss."""
    pytest.importorskip("matplotlib")
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    flags = ["model.py", "--at", "8", "--data", "teacher", "--finalists", "2", "--steps", "8", "--grid"]
    flags += ["--lr", "2^-9,2^-6,2^-4"]
    names = ("constant", "cosine", "linear")
    together = [*flags, "--schedule", ",".join(names), "--plan", "plan.yaml", "--target-width", "128"]
    assert run(*together, "--results", "all.jsonl", "--plot", "search.svg") == 0
    out = capsys.readouterr().out
    found = {(row["schedule"], row["lr"]): row["loss"] for row in samples(together, "all.jsonl", capsys)}
    assert len(found) == 9
    for name in names:
        alone = samples([*flags, "--schedule", name], f"{name}.jsonl", capsys)
        assert {(name, row["lr"]): row["loss"] for row in alone} == pytest.approx(
            {key: loss for key, loss in found.items() if key[0] == name}, rel=1e-5
        )
    by = {name: min(loss for (schedule, _), loss in found.items() if schedule == name) for name in names}
    assert len(set(by.values())) == 3
    told = ", ".join(f"{name} {loss:.4g}" for name, loss in sorted(by.items(), key=lambda each: each[1]))
    assert f"the best sample of each schedule, by the first seed: {told}" in out
    best = next(name for name in names if f", schedule {name}\n" in out)
    assert f"muaudit sweep --plan plan.yaml --schedule {best} shows" in out
    assert f"found best, {best}: set it in the training script" in (tmp_path / "plan.yaml").read_text()
    picture = (tmp_path / "search.svg").read_text()
    assert all(f">{text}<" in picture for text in ("schedule", *names))
    whole = (tmp_path / "all.jsonl").read_text().splitlines(keepends=True)
    variants = Counter(json.loads(line)["variant"].split()[0] for line in whole[1:])
    assert variants == {"short": 9 + 2 * 3, "long": 2 * 3}
    (tmp_path / "part.jsonl").write_text("".join(whole[:8]))
    assert run(*together, "--results", "part.jsonl") == 0
    assert (tmp_path / "part.jsonl").read_text() == "".join(whole)


def samples(flags: list[str], results: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Of the report."""
    capsys.readouterr()
    assert run(*flags, "--results", results, "--format", "json") == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["samples"]
    return found


def test_a_script_is_told_its_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Schedules of the script's own: the second one is better by 1, and no plan is asked for it."""
    told = (
        "import sys, math; lr, seed, how = sys.argv[1:]; print('loss:', 2 + math.log2(float(lr)) ** 2 - (how == 'wsd'))"
    )
    monkeypatch.chdir(tmp_path)
    command = f'{sys.executable} -c "{told}" {{lr}} {{seed}} {{schedule}}'
    flags = ["--at", "64", "--lr", "1,2", "--grid", "--finalists", "1", "--longer", "1"]
    with_width = ["--command", f"env WIDTH={{width}} {command}", *flags]
    assert run(*with_width, "--schedule", "flat,wsd", "--format", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [each["values"] for each in report["finalists"]] == [{"lr": 1.0, "schedule": "wsd"}]
    assert report["finalists"][0]["losses"] == [1.0, 1.0, 1.0]
    plain = command.replace(" {schedule}", " x {width}")
    for wrong, words in (
        (with_width, "--command has {schedule}, and no schedules are given"),
        ([*with_width, "--schedule", "wsd,wsd"], "expects names, each once"),
        (["--command", plain, *flags, "--schedule", "flat,wsd"], "--command has no {schedule}"),
        (["model.py", "--schedule", "cosine,wsd"], "unknown schedule 'wsd'"),
        (["model.py", "--schedule", "cosine,cosine"], "names one twice"),
        (["model.py", "--hp", "schedule=cosine,linear"], "--hp schedule: schedules have a flag of their own"),
    ):
        assert run(*wrong) == 2
        assert words in capsys.readouterr().err
