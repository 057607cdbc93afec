"""The spectral coordinate check: which norms follow sqrt(fan_out/fan_in), and which weights are named otherwise."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from program import app
from test_optimizers import MLP, X, groups
from torch.nn import functional as F
from typer.testing import CliRunner

from muaudit.targets import from_functions, resolve
from muaudit.training.run_settings import RunSettings
from muaudit.training.spectral import JudgedTensor, judge_spectral, measure_spectral

FIXTURES = Path(__file__).parents[1] / "fixtures"


@cache
def judged(name: str) -> dict[str, JudgedTensor]:
    settings = RunSettings(widths=(64, 128, 256), steps=3, seeds=2)
    run = measure_spectral(resolve(str(FIXTURES / f"{name}.py")), settings)
    return {each.norms.name: each for each in judge_spectral(run)}


@pytest.mark.parametrize("name", ["mlp/table3", "mlp/table8", "mlp/table9"])
def test_every_formulation_follows_the_condition(name: str) -> None:
    """Table 8 has its factors in multipliers, Table 9 in others: norms times multiplier are the same."""
    found = judged(name)
    assert {each.norms.role for each in found.values()} == {"input", "hidden", "output"}
    assert {key: each.status for key, each in found.items()} == dict.fromkeys(found, "pass")


def test_in_standard_parametrization_the_changes_of_hidden_weights_grow() -> None:
    """Adam's entries of size lr add up to a norm ∝ n along the gradient; the init is µP's, but for the readout."""
    found = judged("mlp/sp")
    hidden = [each for each in found.values() if each.norms.role == "hidden"]
    assert {(each.weight.status, each.change.status) for each in hidden} == {("pass", "fail")}
    for each in hidden:
        assert each.change.fit is not None
        assert each.change.fit.slope == pytest.approx(1.0, abs=0.25)
    assert (found["readout.weight"].weight.status, found["embed.weight"].status) == ("fail", "pass")


@pytest.mark.parametrize(("mode", "exponent", "status"), [
    ("original", 0.0, "pass"), ("match_rms_adamw", 0.0, "fail"), ("match_rms_adamw", -0.5, "pass"),
])  # fmt: skip
def test_both_scale_modes_of_muon(mode: str, exponent: float, status: str) -> None:
    """An orthogonalised update has norm 1, and sqrt(n) where it matches Adam's rms."""

    def optimizer(model: MLP) -> list[torch.optim.Optimizer]:
        m = model.gain.numel() / 64
        rest = [g for g in groups(model, (0.0, -1.0, -1.0, 0.0)) if g["params"][0] is not model.hidden.weight]
        muon = torch.optim.Muon([model.hidden.weight], lr=1e-2 * m**exponent, weight_decay=0.0, adjust_lr_fn=mode)
        return [muon, torch.optim.Adam(rest)]

    target = from_functions(
        MLP, batch=lambda width: X, optimizer=optimizer, widths=(64, 128),
        loss=lambda out, batch: F.cross_entropy(out, torch.zeros(16, dtype=torch.long)),
    )  # fmt: skip
    run = measure_spectral(target, RunSettings(widths=(64, 128, 256), steps=2, seeds=2))
    (hidden,) = [each for each in judge_spectral(run) if each.norms.name == "hidden.weight"]
    assert hidden.change.status == status


def test_the_command_says_so_and_writes_json() -> None:
    asked = ["coord-check", str(FIXTURES / "mlp/sp.py"), "--spectral", "--widths", "64,128,256", "--seeds", "2"]
    text = CliRunner().invoke(app, asked)
    assert text.exit_code == 1
    assert "norms do not follow sqrt(fan_out/fan_in)" in text.stdout
    document = json.loads(CliRunner().invoke(app, [*asked, "--format", "json"]).stdout)
    assert (document["schema"], document["status"]) == ("muaudit.spectral-check/1", "fail")
    (hidden,) = [each for each in document["tensors"] if each["name"] == "hidden.0.weight"]
    assert [len(row) for row in hidden["change_norms"]] == [2, 2, 2]


@pytest.mark.parametrize("more", [["--format", "csv"], ["--plot", "x.png"], ["--compare", "y.py"]])
def test_what_only_activations_have_is_refused(more: list[str]) -> None:
    found = CliRunner().invoke(app, ["coord-check", str(FIXTURES / "mlp/sp.py"), "--spectral", *more])
    assert found.exit_code == 2
    assert "--spectral" in found.stderr
