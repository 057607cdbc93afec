"""`muaudit sweep` from end to end on small models: what is trained, what is kept, what is said."""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from program import app, exit_code

from muaudit.sweep import results_file as store
from muaudit.sweep.trainings import Training, TrainingOutcome, Unit

MODEL = """
import torch
from torch import nn
from torch.nn import functional as F
from pathlib import Path

LOG = Path(__file__).with_name("starts.txt")


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embed, self.hidden, self.head = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x):
        return self.head(torch.relu(self.hidden(torch.relu(self.embed(x)))))


def build(width):
    return Net(width)


def batches(width, seed):
    with LOG.open("a") as log:
        log.write(f"{width} {seed}\\n")
    generator = torch.Generator().manual_seed(seed)
    while True:
        x = torch.randn(16, 8, generator=generator)
        yield x, x[:, :3].argmax(-1)


def loss(output, batch):
    return F.cross_entropy(output, batch[1])


def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
"""

FAST = ["--widths", "8,16", "--lr", "2^-6..2^2", "--steps", "20", "--seeds", "1", "--near", "0", "--extend", "0"]


def run(*args: str) -> int:
    return exit_code("sweep", *args)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path: Path) -> list[dict[str, Any]]:
    """The finished runs in a results file."""
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


def starts(folder: Path) -> int:
    """How many runs were begun; the probe of the target begins some as well."""
    return len((folder / "starts.txt").read_text().splitlines())


def untimed(report: str) -> str:
    """Without what further seeds would take, which is not known where nothing was run."""
    return re.sub(r" \(about .*?\)", "", report)


def test_every_run_is_kept_and_nothing_is_run_twice(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["model.py", *FAST, "--together", "1", "--seeds", "2", "--results", "r.jsonl", "--format", "json"]
    assert run(*flags) in (0, 1)
    first = capsys.readouterr().out
    kept = rows(here / "r.jsonl")
    assert len(kept) == 2 * 9 * 2
    assert {row["variant"] for row in kept} == {"original"}
    ended = [row["loss"] / row["first_loss"] for row in kept if row["loss"] is not None]
    assert sum(each < 1 for each in ended) > len(ended) / 2  # of so few steps some end above by chance

    begun = starts(here)
    run(*flags)
    probes = starts(here) - begun
    assert capsys.readouterr().out == first
    assert begun == 2 * 9 * 2 + probes
    report = json.loads(first)
    assert report["schema"] == "muaudit.sweep-report/1"
    assert len(report["verdicts"][0]["runs"]) == len(kept)

    before = (here / "r.jsonl").read_text().splitlines()
    assert run(*flags, "--widths", "8,16,32") in (0, 1)
    assert (here / "r.jsonl").read_text().splitlines()[: len(before)] == before
    assert len(rows(here / "r.jsonl")) == 3 * 9 * 2


@pytest.mark.parametrize("together", ["1", "4"])
def test_killed_at_any_moment_and_resumed_the_file_is_the_same(
    here: Path, together: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a killed sweep leaves is some beginning of its file, cut anywhere."""
    flags = [
        "model.py",
        "--widths",
        "8,16",
        "--lr",
        "2^-6..2^-1",
        "--steps",
        "8",
        "--seeds",
        "1",
        "--together",
        together,
    ]
    run(*flags, "--results", "whole.jsonl")
    whole = (here / "whole.jsonl").read_bytes()
    header = whole.index(b"\n") + 1
    for number, cut in enumerate(random.Random(0).sample(range(header, len(whole)), 4)):
        resumed = here / f"cut{number}.jsonl"
        resumed.write_bytes(whole[:cut])
        run(*flags, "--results", resumed.name)
        assert resumed.read_bytes() == whole
    assert not list(here.glob(".*.tmp"))


def test_an_ensemble_ends_where_separate_runs_do(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for together in ("1", "9"):
        run("model.py", *FAST, "--dtype", "fp64", "--together", together, "--results", f"{together}.jsonl")
    apart, joined = rows(here / "1.jsonl"), rows(here / "9.jsonl")
    assert len(apart) == len(joined) == 18
    assert all(row["members"] == 9 for row in joined)
    for one, other in zip(apart, joined, strict=True):
        assert (one["width"], one["lr"], one["steps"]) == (other["width"], other["lr"], other["steps"])
        assert other["loss"] == (None if one["loss"] is None else pytest.approx(one["loss"], rel=1e-6))


def test_near_asks_for_fewer_runs_and_resumes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [
        "model.py",
        "--widths",
        "8,16,32",
        "--lr",
        "2^-9..2^2",
        "--steps",
        "15",
        "--results",
        "r.jsonl",
        "--near",
        "1",
        "--seeds",
        "1",
        "--extend",
        "0",
    ]
    run(*flags)
    first, kept = capsys.readouterr().out, rows(here / "r.jsonl")
    assert sum(row["width"] == 8 for row in kept) == 12
    assert all(3 <= sum(row["width"] == width for row in kept) < 12 for width in (16, 32))
    whole = (here / "r.jsonl").read_text().splitlines(keepends=True)
    (here / "r.jsonl").write_text("".join(whole[:14]))
    run(*flags)
    assert untimed(capsys.readouterr().out) == untimed(first)
    assert (here / "r.jsonl").read_text().splitlines(keepends=True) == whole


def test_a_run_that_diverges_is_stopped(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(
        "model.py",
        "--widths",
        "8,16",
        "--lr",
        "0.05,1e6",
        "--steps",
        "100",
        "--seeds",
        "1",
        "--results",
        "r.jsonl",
        "--together",
        "1",
    )
    done = {(row["width"], row["lr"]): row for row in rows(here / "r.jsonl")}
    assert done[8, 1e6]["loss"] is None
    assert done[8, 1e6]["steps"] <= 20
    assert done[8, 0.05]["steps"] == 100
    assert "diverged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("hp", "values"),
    [("readout=0.25,4", (0.25, 4.0)), ("init=0.5,2", (0.5, 2.0)), ("momentum=0,0.9", (0.0, 0.9)),
     ("wd=0.001,0.1", (0.001, 0.1))],
    ids=["readout", "init", "momentum", "weight decay"],
)  # fmt: skip
def test_other_hyperparameters_at_the_best_rate(
    here: Path, hp: str, values: tuple[float, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run("model.py", *FAST, "--hp", hp, "--results", "r.jsonl", "--format", "json")
    report = json.loads(capsys.readouterr().out)
    rates, other = report["verdicts"]
    best = rates["optima"][0]["best_run"]
    assert other["lr"] == best
    assert sorted({each["value"] for each in other["runs"]}) == list(values)
    losses = {(each["width"], each["value"]): each["loss"] for each in other["runs"]}
    assert len(losses) == 4
    assert losses[8, values[0]] != losses[8, values[1]]


def test_a_plan_is_swept_beside_the_target(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    drawn = ("--plot", "both.svg", "--curves", "along.svg")
    assert run("model.py", *FAST, "--convert", *drawn, "--results", "r.jsonl") in (0, 1)
    out = capsys.readouterr().out
    assert "Net as it is: lr" in out or "build as it is: lr" in out
    assert "converted to µP: lr" in out
    picture = (here / "both.svg").read_text()
    assert "log2 lr" in picture
    assert "converted to µP" in picture
    assert "lr undecided" in picture  # as the report says
    assert "step" in (here / "along.svg").read_text()
    assert all(len(row["curve"]) == 20 for row in rows(here / "r.jsonl") if row["loss"] is not None)
    done = {(row["variant"], row["width"], row["lr"]): row["loss"] for row in rows(here / "r.jsonl")}
    narrow = [done["original", 8, 2.0**k] == done["converted", 8, 2.0**k] for k in range(-6, 3)]
    assert all(narrow)  # the plan changes nothing at its base width
    assert any(done["original", 16, 2.0**k] != done["converted", 16, 2.0**k] for k in range(-6, 3))


def test_a_budget_ends_it_and_the_rest_is_run_later(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["model.py", *FAST, "--together", "1", "--results", "r.jsonl"]
    run(*flags, "--budget", "1e6flops")
    assert "the budget ended after" in capsys.readouterr().out
    part = rows(here / "r.jsonl")
    assert 0 < len(part) < 18
    run(*flags, "--budget", "1h")
    assert len(rows(here / "r.jsonl")) == 18
    assert rows(here / "r.jsonl")[: len(part)] == part


def test_reverse_transfer_of_a_divergence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TP5 App. I: what diverges at width 1024 is brought down to width 64, where it diverges as well."""
    sp, results = str(Path(__file__).parents[1] / "fixtures" / "mlp" / "sp.py"), tmp_path / "r.jsonl"
    flags = [sp, "--optimizer", "sgd", "--data", "teacher", "--steps", "60", "--lr", "2^-6,0.25", "--together", "1",
             "--seeds", "1"]  # fmt: skip
    with pytest.raises(SystemExit):
        app(["convert", sp, "--optimizer", "sgd", "--base-width", "1024", "--width", "64", "--out", str(tmp_path)])
    plan = str(tmp_path / "plan.yaml")
    run(*flags, "--widths", "64,1024", "--plan", plan, "--results", str(results))
    done = {(row["variant"], row["width"], row["lr"]): row["loss"] for row in rows(results)}
    assert done["original", 1024, 0.25] is None
    assert done["original", 64, 0.25] is not None
    assert done["converted", 64, 0.25] is None
    assert all(done[variant, width, 2**-6] is not None for variant, width in (("original", 1024), ("converted", 64)))


BAD = {
    "empty range": (["--lr", ""], "--lr expects values, found nothing"),
    "malformed range": (["--lr", "2^-4..cat"], "found 'cat'"),
    "reversed range": (["--lr", "2^-4..2^-8"], "from a positive value up to a larger one"),
    "negative": (["--lr", "-1,1"], "--lr expects positive values"),
    "twice": (["--lr", "1,1"], "names a value twice"),
    "one width": (["--widths", "8"], "at least two widths"),
    "unknown hyperparameter": (["--hp", "readot=1,2"], "did you mean readout?"),
    "no values": (["--hp", "readout"], "--hp expects NAME=VALUES"),
    "lr twice": (["--hp", "lr=1,2"], "has a flag of its own"),
    "beta of one": (["--hp", "beta1=0.9,1"], "expects values below 1"),
    "not this optimizer's": (["--hp", "beta2=0.9,0.99"], "SGD has no betas"),
    "no attention": (["--hp", "attention=1,2"], "no module of this model is its attention"),
    "unknown data": (["--data", "txt"], "unknown data 'txt'"),
    "data that do not fit": (["--data", "text"], "is for models whose input is one tensor of tokens"),
    "schedule": (["--schedule", "step"], "unknown schedule 'step'"),
    "budget": (["--budget", "soon"], "--budget expects a positive time or FLOPs"),
    "two others": (["--convert", "--compare", "model.py"], "give one of them"),
    "no plan": (["--only-plan"], "--only-plan needs a plan"),
    "plan not there": (["--plan", "nowhere.yaml"], "cannot read nowhere.yaml"),
    "all diverged": (["--lr", "1e8..1e9"], "every run diverged"),
    "no folder for the plot": (["--plot", "nowhere/a.png"], "No such file or directory"),
    "results are a folder": (["--results", "."], "cannot write .: it is no regular file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(here: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags, message = BAD[name]
    assert run("model.py", "--widths", "8,16", "--lr", "0.1,0.2", "--steps", "4", "--seeds", "1", *flags) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_ray_that_is_not_installed(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run("model.py", "--widths", "8,16", "--lr", "0.1,0.2", "--steps", "4", "--seeds", "1", "--ray", "auto") == 2
    err = capsys.readouterr().err
    assert "--ray needs Ray, which is not installed" in err
    assert "pip install 'muaudit[ray]'" in err


@pytest.mark.parametrize(
    ("address", "message"),
    [("127.0.0.1:9", "no Ray cluster answers there"), ("nowhere", "expects host:port"), ("h:x", "no Ray cluster")],
)
def test_ray_that_does_not_answer(
    here: Path, address: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    assert run("model.py", "--widths", "8,16", "--lr", "0.1,0.2", "--steps", "4", "--seeds", "1", "--ray", address) == 2
    assert message in capsys.readouterr().err


def test_results_of_another_sweep_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["model.py", "--widths", "8,16", "--lr", "0.1,0.2", "--steps", "4", "--seeds", "1", "--results", "r.jsonl"]
    run(*flags)
    kept = (here / "r.jsonl").read_bytes()
    capsys.readouterr()
    assert run(*flags, "--steps", "5") == 2
    assert "holds the results of another sweep:\n  steps: 4 there, 5 here" in capsys.readouterr().err
    (here / "model.py").write_text(MODEL + "\n# edited\n")
    assert run(*flags) == 2
    differing = capsys.readouterr().err.split("another sweep:\n")[1].splitlines()
    assert [line.partition(":")[0].strip() for line in differing if " there, " in line] == ["original.source"]
    assert (here / "r.jsonl").read_bytes() == kept
    (here / "r.jsonl").write_text("width,loss\n")
    assert run(*flags) == 2
    assert "line 1: expected JSON" in capsys.readouterr().err


def test_two_sweeps_do_not_write_one_file(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    from muaudit.errors import UserError

    path, job = tmp_path / "r.jsonl", Training("original", 8, 0, (("lr", 0.1),))
    first = store.Results(path, {"steps": 1})
    with path.open("a") as file:
        file.write('{"variant": "orig')  # a line that is just being written
    with pytest.raises(UserError, match="is being written by another sweep"):
        store.Results(path, {"steps": 1})
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    first.add(Unit((job,)), [TrainingOutcome(job, 1.0, 2.0, 1)])
    first.close()
    second = store.Results(path, {"steps": 1})
    assert second.done == {job.key: TrainingOutcome(job, 1.0, 2.0, 1)}
    second.close()


def test_runs_finished_in_another_order_end_in_the_same_file(tmp_path: Path) -> None:
    jobs = [Training("original", width, 0, (("lr", lr),)) for width in (8, 16) for lr in (0.1, 0.2)]
    files = []
    for name, order in (("a", jobs), ("b", jobs[::-1])):
        results = store.Results(tmp_path / name, {"steps": 1})
        for job in order:
            results.add(Unit((job,)), [TrainingOutcome(job, job.width / 3, None, 1)])
        results.close()
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_what_is_planned_is_told_first_and_ends_extend_themselves(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best rate of this model is near 0.5; the values end at 2^-5."""
    run("model.py", "--widths", "8,16", "--lr", "2^-7..2^-5", "--steps", "20", "--seeds", "1", "--results", "r.jsonl")
    out, err = capsys.readouterr()
    assert "planned: 2 widths, 3 learning rates, 1 seed: some 6 runs of 20 steps" in err.splitlines()[0]
    assert {row["lr"] for row in rows(here / "r.jsonl")} >= {2.0**k for k in range(-7, -1)}
    assert min(row["lr"] for row in rows(here / "r.jsonl")) == 2**-7
    assert "0.5" in out


@pytest.mark.slow
def test_seeds_are_added_where_they_tell_and_a_killed_sweep_goes_on(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["model.py", "--widths", "8,16,32", "--lr", "2^-4..2^0", "--steps", "15", "--extend", "0", "--lost", "0.2"]
    run(*flags, "--until-decided", "--results", "whole.jsonl")
    first = capsys.readouterr().out
    whole = (here / "whole.jsonl").read_text().splitlines(keepends=True)
    added = [row for row in rows(here / "whole.jsonl") if row["seed"] >= 3]
    assert added
    assert {row["width"] for row in added} == {8, 32}
    (here / "part.jsonl").write_text("".join(whole[:-3]))
    run(*flags, "--until-decided", "--results", "part.jsonl")
    assert (here / "part.jsonl").read_text() == "".join(whole)
    assert untimed(capsys.readouterr().out).replace("part.", "whole.") == untimed(first)


LOW = """
import torch
from torch import nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(s, width):
        super().__init__(); s.a = nn.Linear(32, width); s.b = nn.Linear(width, width); s.c = nn.Linear(width, 10)

    def forward(s, x): return s.c(s.b(s.a(x).relu()).relu())

def build(width): return Net(width)

def batches(width, seed):
    g = torch.Generator().manual_seed(seed)
    while True:
        x = torch.randn(16, 32, generator=g); yield x, x[:, :10].argmax(-1)

def loss(o, b): return F.cross_entropy(o, b[1])
"""
BY_HEART = (
    LOW.partition("def batches")[0]
    + """
g = torch.Generator().manual_seed(0); X = torch.randn(64, 32, generator=g); Y = X[:, :10].argmax(-1)

def batch(width): return X, Y

def loss(o, b): return F.cross_entropy(o, b[1])
"""
)


def swept(here: Path, capsys: pytest.CaptureFixture[str], model: str, *flags: str) -> dict[str, Any]:
    (here / "model.py").write_text(model)
    assert run("model.py", *flags, "--widths", "64,128", "--results", "case.jsonl", "--format", "json") in (0, 1)
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


@pytest.mark.slow
def test_learning_rates_so_small_that_nothing_is_learned_have_not_diverged(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = swept(here, capsys, LOW, "--lr", "1e-7,1e-6,1e-4,1e-3,1e-2", "--steps", "50")
    assert {row["lr"] for row in rows(here / "case.jsonl") if row["loss"] is None} == set()
    assert report["verdicts"][0]["optima"][0]["best_run"] == 1e-2


@pytest.mark.slow
def test_a_batch_that_is_learned_by_heart_decides_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = swept(here, capsys, BY_HEART, "--lr", "2^-8,2^-7", "--steps", "500", "--seeds", "1")
    assert report["verdicts"][0]["status"] == "undecided"
    assert "learned by heart" in report["verdicts"][0]["reasons"][0]
