"""`muaudit convert` from the command line: what it writes, what it prints, and that the printed lines work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from bugs.plant import FIXTURES
from program import app
from safetensors.torch import load_file

import muaudit


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command of the program, in a folder of its own."""
    monkeypatch.chdir(here)

    def call(*args: str) -> Done:
        with pytest.raises(SystemExit) as stop:
            app(args, prog_name="muaudit")
        return Done(int(stop.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text((FIXTURES / "mlp" / "sp.py").read_text())
    return tmp_path


def test_the_shortest_command(here: Path, run: Run) -> None:
    """Target, width and folder are found; what is written passes the audit and the pasted lines run."""
    done = run("convert", "--base-width", "128")
    assert done.returncode == 0
    assert "width 128 → 256: m = 2, adamw" in done.stdout
    assert "audited as converted: no errors" in done.stdout
    names = [".gitignore", "plan.yaml", "state_dict.safetensors"]
    assert sorted(path.name for path in (here / "mup").iterdir()) == names
    assert (here / "mup" / ".gitignore").read_text() == "/state_dict.safetensors\n"
    size = sum(tensor.nbytes for tensor in load_file(here / "mup" / "state_dict.safetensors").values())
    said = f"writing state_dict.safetensors to mup, {size / 1e6:.1f} MB (--no-state-dict leaves it out)"
    assert done.stderr == f"muaudit: {said}\n"
    checked = run("check", "--plan", "mup/plan.yaml")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert run("check").returncode == 1

    pasted_rows, _, to_do = done.stdout.split("at width 256:\n")[1].partition("\n\n")
    assert to_do.startswith("next: muaudit coord-check --plan mup/plan.yaml measures it")
    code = [row.strip() for row in pasted_rows.splitlines() if not row.strip().startswith("#")]
    given = "model, LR, WD, scheduler = MLP(), 0.01, 0.1, None"
    script = ["import torch", "from model import MLP", "torch.manual_seed(0)", given, *code]
    script += ["optimizer.step()", 'torch.save(model.state_dict(), "out.pt")', "print(len(optimizer.param_groups))"]
    (here / "train.py").write_text("\n".join(script))
    pasted = subprocess.run(
        [sys.executable, "train.py"], cwd=here, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(FIXTURES.parent)},
    )  # fmt: skip
    assert (pasted.stdout.strip(), pasted.returncode) == ("4", 0), pasted.stderr
    import torch

    written = load_file(here / "mup" / "state_dict.safetensors")
    made = torch.load(here / "out.pt", weights_only=True)
    assert sorted(written) == sorted(made)
    assert all(torch.equal(written[name], made[name]) for name in made)


def test_width_optimizer_and_folder_are_options(here: Path, run: Run) -> None:
    done = run("convert", "model.py", "--base-width", "64", "--width", "96", "--optimizer", "sgd", "--out", "a/b")
    assert done.returncode == 0
    plan = muaudit.load_plan(here / "a" / "b" / "plan.yaml")
    assert (plan.base_width, plan.width, plan.optimizer) == (64, 96, "sgd")
    assert load_file(here / "a" / "b" / "state_dict.safetensors")["hidden.0.weight"].shape == (96, 96)


def test_the_plan_alone(here: Path, run: Run) -> None:
    """Nothing is written that is large, nothing needs to be ignored, and what an earlier run wrote is gone."""
    assert run("convert", "--base-width", "128").returncode == 0
    done = run("convert", "--base-width", "128", "--no-state-dict")
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in (here / "mup").iterdir()] == ["plan.yaml"]
    assert "state_dict" not in done.stdout


def test_an_ignore_file_of_the_users_own_is_left_alone(here: Path, run: Run) -> None:
    (here / "mup").mkdir()
    (here / "mup" / ".gitignore").write_text("*\n")
    for _ in range(2):
        assert run("convert", "--base-width", "128").returncode == 0
        assert (here / "mup" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["convert", "--base-width", "8", "--no-state-dict", "--state-dict", "a.pt"], "give one of them"),
        (
            ["convert", "model.py", "--base-width", "64", "--out", "/dev/null/x"],
            "/dev/null/x: /dev/null is a file",
        ),
        (["convert", "none.py", "--base-width", "64"], "no such file: none.py"),
        (["convert", "model.py"], "--base-width"),
        (["check", "model.py", "--plan", "none.yaml"], "cannot read none.yaml"),
        (["check", "model.py", "--plan", "model.py"], "model.py is no plan"),
    ],
)
def test_bad_input_is_one_message(run: Run, args: list[str], message: str) -> None:
    done = run(*args)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_plan_for_another_model_is_refused(here: Path, run: Run) -> None:
    (here / "gpt.py").write_text((FIXTURES / "gpt" / "sp.py").read_text())
    assert run("convert", "model.py", "--base-width", "64").returncode == 0
    done = run("check", "gpt.py", "--plan", "mup/plan.yaml")
    assert done.returncode == 2
    assert "this plan goes by the width 'width', the target by 'n_embd'" in done.stderr
