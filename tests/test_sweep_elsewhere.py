"""`muaudit sweep --command` and `--import`: scripts that know nothing of muaudit, and what others have exported."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
from program import exit_code

from muaudit.errors import UserError
from muaudit.sweep.reported_loss import of_file, of_output
from muaudit.sweep.script_command import Script
from muaudit.sweep.trainings import Training

SCRIPT = """
import math, sys
width, lr, seed = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
x = math.log2(lr) + 6
if x > 1:
    print("loss: nan")
    sys.exit(3)  # as many do
print("width", width)
print("step 10 | loss:", 2 - 0.1 * math.log2(width) + 0.05 * x * x + 0.0001 * seed * x)
"""
COMMAND = f"{sys.executable} -S script.py {{width}} {{lr}} {{seed}}"
FLAGS = ("--widths", "8,16", "--lr", "2^-8..2^-5")


def run(*args: str) -> int:
    return exit_code("sweep", *args)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loss(width: int, lr: float, seed: int) -> float:
    x = math.log2(lr) + 6
    return 2 - 0.1 * math.log2(width) + 0.05 * x * x + 0.0001 * seed * x


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("epoch 1\n0.25\n", None, 0.25),
        ("step 100 | loss: 2.5 | 3 tok/s\n\n", None, 2.5),
        ("train_loss=3.0 val_loss=2.75", None, 2.75),
        ("train_loss=3.0 val_loss=2.75", "train_loss", 3.0),
        ('{"step": 9, "val_loss": 1.5e-1}', None, 0.15),
        ("loss 1e-3, lr 0.1", None, 1e-3),
        ("loss: nan", None, math.nan),
        ("done, final loss is inf", None, math.inf),
    ],
)
def test_the_loss_of_a_line(text: str, name: str | None, found: float) -> None:
    assert of_output(text, name) == pytest.approx(found, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "path", "name", "found"),
    [
        ("step,loss\n1,3.0\n2,2.5\n", "a.csv", None, 2.5),
        ("step,loss,other\n1,3.0,7\n2,,8\n", "a.csv", None, 3.0),
        ("Wall time,Step,Value\n1,1,3.0\n2,2,2.0\n", "tensorboard.csv", None, 2.0),
        ("step;val/loss\n1;4.0\n", "a.csv", "val/loss", 4.0),
        ('{"loss": 1.25}', "a.json", None, 1.25),
        ('{"loss": null}', "a.json", None, math.inf),
        ('{"loss": 2}\n{"loss": 1}\n', "a.jsonl", None, 1.0),
    ],
)
def test_the_loss_of_a_file(text: str, path: str, name: str | None, found: float) -> None:
    assert of_file(text, path, name) == found


@pytest.mark.parametrize("text", ["", "done", "no numbers"])
def test_a_line_without_a_loss(text: str) -> None:
    with pytest.raises(UserError, match="no loss was found"):
        of_output(text, None)


def test_values_never_change_how_a_command_is_cut() -> None:
    script = Script("python 'my train.py' --lr={lr} --wd {weight_decay:0.1} {width}")
    job = Training("original", 64, 0, (("lr", 2**-10),))
    assert script.words(job) == ["python", "my train.py", "--lr=0.0009765625", "--wd", "0.1", "64"]
    assert script.words(Training("original", 64, 0, (("lr", 1.0), ("weight_decay", 0.5))))[4] == "0.5"


def test_a_script_is_swept_and_resumed_and_imported_alike(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--command", COMMAND, *FLAGS, "--seeds", "3")
    assert run(*flags, "--results", "whole.jsonl") == 0
    first = capsys.readouterr().out
    assert ": lr transfers" in first
    whole = (here / "whole.jsonl").read_text().splitlines(keepends=True)
    rows = [json.loads(line) for line in whole[1:]]
    assert len(rows) == 2 * 4 * 3
    for row in rows:
        wanted = None if row["lr"] > 2**-5 else loss(row["width"], row["lr"], row["seed"])
        assert row["loss"] == (None if wanted is None else pytest.approx(wanted, abs=1e-8))

    (here / "part.jsonl").write_text("".join(whole[:-2]) + whole[-2][:20])
    assert run(*flags, "--results", "part.jsonl") == 0
    assert (here / "part.jsonl").read_text() == "".join(whole)
    capsys.readouterr()

    exported = ["Name,config.n,learning_rate,seed,final_loss"]
    exported += [f"run,{row['width']},{row['lr']},{row['seed'] + 40},{row['loss']}" for row in rows]
    (here / "export.csv").write_text("\n".join(exported))
    assert run("--import", "export.csv", "--columns", "width=config.n") == 0
    taken = capsys.readouterr().out
    assert taken.splitlines()[4:-2] == first.splitlines()[4:-2]  # the tables, the drift, the cost, wider


def test_files_of_a_run_each_say_by_their_names_what_they_are(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for width in (8, 16):
        for lr in (2**-7, 2**-6, 2**-5):
            for seed in (0, 1, 2):
                text = f"Wall time,Step,Value\n0,1,3.0\n0,2,{loss(width, lr, seed)}\n"
                (here / f"w{width}_lr{lr}_s{seed}.csv").write_text(text)
    assert run("--import", "w{width}_lr{lr}_s{seed}.csv") == 0
    assert ": lr transfers" in capsys.readouterr().out


WANDB = """Name,State,config.n_embd,config.Learning Rate,summary.val/loss,config.seed
{rows}
late,running,16,0.015625,9.9,2
gone,crashed,16,0.015625,nan,3
blank,finished,8,0.015625,,3
"""


def test_what_wandb_exports_is_taken_by_its_own_names(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs that go on, and rows without a loss, are no runs that diverged; one that crashed at NaN is."""
    each = [(width, lr, seed) for width in (8, 16) for lr in (2**-7, 2**-6, 2**-5) for seed in (0, 1, 2)]
    rows = [
        f"r,finished,{w},{lr},{loss(w, lr, seed)},{seed}" for w, lr, seed in each if (w, lr, seed) != (16, 2**-6, 2)
    ]
    (here / "wandb.csv").write_text(WANDB.format(rows="\n".join(rows)))
    assert run("--import", "wandb.csv", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["notices"] == [
        "left out: 1 row without a loss; nan is the loss of a run that diverged",
        "left out: 1 run that did not finish, by the column for the state",
    ]
    kept = [json.loads(line) for line in Path(found["results"]).read_text().splitlines()[1:]]
    assert len(kept) == len(rows) + 1
    assert [(each["width"], each["seed"]) for each in kept if each["loss"] is None] == [(16, 3)]
    text = (here / "wandb.csv").read_text()
    (here / "wandb.csv").write_text(text.replace("config.seed", "config/learning_rate"))
    assert run("--import", "wandb.csv") == 2
    assert "several columns may be the lr: config.Learning Rate, config/learning_rate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--command", "python -c 1 {width}", *FLAGS), "--command has no {lr}"),
        (("--command", "python -c 1 {width} {lr}", *FLAGS), "--command has no {seed}"),
        (("--command", "train {width} {lr} {sed} {seed}", *FLAGS), "unknown placeholder {sed}"),
        (("--command", "train {width} {lr", *FLAGS), "braces that are meant as such"),
        (("--command", "no-such-program {width} {lr} {seed}", *FLAGS), "cannot run no-such-program"),
        (("--command", f"{sys.executable} -S -c 'print(\"hello\")' {{width}} {{lr}} {{seed}}", *FLAGS), "no loss was"),
        (("--command", f"{sys.executable} -S -c 'raise OSError(7)' {{width}} {{lr}} {{seed}}", *FLAGS),
         "ended with exit code 1"),
        (("--command", "train {width} {lr} {seed}", "--lr", "1,2"), "--command needs --widths"),
        (("--command", "train {width} {lr} {seed}", "--convert", *FLAGS), "is trained as it is"),
        (("--import", "nowhere.csv"), "cannot read nowhere.csv"),
        (("--import", "script.py"), "no column for the width"),
        (("model.py", "--loss-name", "x"), "is for runs that are made elsewhere"),
    ],
)  # fmt: skip
def test_what_cannot_be(here: Path, flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*flags) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err or "OSError" in err
