"""`muaudit transfer`: effective values against hand-derived ones (TP5 Table 3), both ways, and its errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from program import app

SP = str(Path(__file__).parents[1] / "fixtures" / "mlp" / "sp.py")


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as stop:
        app(["transfer", *args], prog_name="muaudit")
    return stop.value.code if isinstance(stop.value.code, int) else 0


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A plan whose own base width is neither end of any transfer below."""
    out = tmp_path_factory.mktemp("mup")
    with pytest.raises(SystemExit):
        app(["convert", SP, "--base-width", "64", "--width", "512", "--out", str(out)], prog_name="muaudit")
    return str(out / "plan.yaml")


def values(text: str) -> dict[str, dict[str, float]]:
    """Tensor pattern → its group, from JSON or YAML."""
    data = json.loads(text) if text.startswith("{") else yaml.safe_load(text)
    return {pattern: group for group in data["groups"] for pattern in group["tensors"]}


# Table 3 with m = 32: (init std, lr) factors of Adam and of SGD against an SP model of the base width.
ADAM = {"embed.weight": (1, 1), "embed.bias": (1, 1), "hidden.*.weight": (32**-0.5, 1 / 32), "hidden.*.bias": (1, 1),
        "readout.weight": (1 / 32, 1 / 32), "readout.bias": (1, 1)}  # fmt: skip
SGD = {"embed.weight": (1, 32), "embed.bias": (1, 32), "hidden.*.weight": (32**-0.5, 1), "hidden.*.bias": (1, 32),
       "readout.weight": (1 / 32, 1 / 32), "readout.bias": (1, 1)}  # fmt: skip
FOUND_INIT = {"embed.weight": 1, "hidden.*.weight": 32**-0.5, "readout.weight": 32**-0.5}
"""What the SP model's own initialization does already between the two widths."""


@pytest.mark.parametrize("format_", ["json", "yaml"])
def test_up_by_a_plan_as_table_3_has_it(plan: str, format_: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = "lr=3e-3,wd=0.1,eps=1e-8"
    assert run("--plan", plan, "--from", "256", "--to", "8192", "--set", given, "--format", format_) == 0
    found = values(capsys.readouterr().out)
    assert set(found) == set(ADAM)
    for pattern, (init, lr) in ADAM.items():
        assert found[pattern]["lr"] == pytest.approx(3e-3 * lr)
        assert found[pattern]["init_scale"] == pytest.approx(init / FOUND_INIT.get(pattern, 1))
        assert found[pattern]["lr"] * found[pattern]["weight_decay"] == pytest.approx(3e-4)
    assert found["hidden.*.weight"]["eps"] == pytest.approx(1e-8 / 32)
    assert found["readout.weight"]["eps"] == pytest.approx(1e-8)


def test_down_without_a_plan_undoes_up(capsys: pytest.CaptureFixture[str]) -> None:
    flags = [SP, "--optimizer", "sgd", "--from", "8192", "--to", "256", "--set", "lr=0.5", "--format", "json"]
    assert run(*flags) == 0
    found = values(capsys.readouterr().out)
    for pattern, (init, lr) in SGD.items():
        assert found[pattern]["lr"] == pytest.approx(0.5 / lr)
        assert found[pattern]["init_scale"] == pytest.approx(FOUND_INIT.get(pattern, 1) / init)
        assert "eps" not in found[pattern]["exponents"]


def test_each_optimizer_has_its_own_values(capsys: pytest.CaptureFixture[str]) -> None:
    """What is given for one optimizer is not the value of tensors that another one trains."""
    muon = str(Path(__file__).parents[1] / "fixtures" / "bugs" / "muon.py")
    flags = [muon, "--from", "64", "--to", "512", "--set", "muon.lr=0.02,adamw.lr=3e-3,eps=1e-8"]
    assert run(*flags, "--format", "json") == 0
    found = values(capsys.readouterr().out)
    assert (found["up.*.weight"]["optimizer"], found["embed.weight"]["optimizer"]) == ("muon", "adamw")
    assert found["embed.weight"]["lr"] == pytest.approx(3e-3)
    assert found["embed.weight"]["eps"] == pytest.approx(1e-8 / 8)
    assert "eps" not in found["up.*.weight"]["exponents"]
    assert run(*flags[:-1], "muon.lr=0.02") == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[2].split()[:4] == ["tensors", "role", "by", "init"]
    assert run(*flags[:-1], "sgd.lr=0.1") == 2
    assert "the plan has no optimizer sgd" in capsys.readouterr().err
    assert run(*flags[:-1], "muon.eps=1e-7") == 2
    assert "muon has no eps" in capsys.readouterr().err


def test_the_table_and_the_file(plan: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--plan", plan, "--from", "64", "--to", "256", "--set", "lr=4e-3", "--set", "beta1=0.9") == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "MLP, width 64 → 256 (up, m = 4), adamw"
    assert next(row for row in rows if "hidden.*.weight" in row).split()[3:5] == ["0.001", "(m^-1)"]
    assert "the same at every width: beta1 0.9" in rows[-1]
    out = tmp_path / "values.json"
    assert run("--plan", plan, "--from", "64", "--to", "256", "--format", "json", "--output", str(out)) == 0
    assert values(out.read_text())["hidden.*.weight"]["lr_scale"] == pytest.approx(0.25)
    assert json.loads(out.read_text())["schema"] == "muaudit.transfer/1"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--set", "lr"], "expects NAME=VALUE"),
        (["--set", "lr=fast"], "lr expects a number, found 'fast'"),
        (["--set", "lr=-1"], "expects a positive number, found -1"),
        (["--set", "lr=nan"], "expects a positive number, found nan"),
        (["--set", "wd=0.1,weight_decay=0.2"], "gives weight_decay twice"),
        (["--set", "beta=0.9"], "did you mean beta"),
        (["--format", "toml"], "unknown format 'toml'"),
        (["--optimizer", "sgd", "--set", "eps=1e-8"], "sgd has no eps"),
        (["--plan", "plan.yaml"], "give one of them"),
    ],
)
def test_bad_input(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SP, "--from", "64", "--to", "256", *args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_a_plan_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--plan", "nowhere.yaml", "--from", "64", "--to", "256") == 2
    assert "cannot read nowhere.yaml" in capsys.readouterr().err
