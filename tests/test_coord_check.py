"""The measured coordinate check: verdicts on the fixtures, the numbers of microsoft/mup, storing and judging again."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matrix import some
from program import app
from torch import nn

from muaudit.targets import from_functions, resolve
from muaudit.training import document
from muaudit.training import measure as training
from muaudit.training.coord_check_lines import check_lines
from muaudit.training.fit import fit
from muaudit.training.loop import RunNumbers, Work
from muaudit.training.measure import measure
from muaudit.training.measurement import Measurement
from muaudit.training.run_settings import RunSettings
from muaudit.training.verdict import CheckVerdict, judge

FIXTURES = Path(__file__).parents[1] / "fixtures"


def checked(name: str, **settings: Any) -> tuple[Measurement, CheckVerdict]:
    run = measure(
        resolve(str(FIXTURES / f"{name}.py")),
        RunSettings(**{"widths": (64, 128, 256), "steps": 3, **settings}),
    )
    return run, judge(run)


@pytest.mark.parametrize(
    "name",
    some(["mlp/table3", "mlp/table8", "gpt/table8", "gpt/table9", "llama/table8"], ["mlp/table8", "gpt/table9"]),
)
def test_mup_is_stable_in_width(name: str) -> None:
    run, verdict = checked(name)
    assert verdict.status == "pass", [(j.activation.name, j.worst) for j in verdict.offenders + verdict.undecided]
    assert verdict.wider == "pass", verdict.wider_detail
    assert not run.notices
    assert verdict.exit_code == 0


@pytest.mark.parametrize("name", some(["mlp/sp", "gpt/sp", "llama/sp"], ["gpt/sp"]))
def test_standard_parametrization_is_not(name: str) -> None:
    _, verdict = checked(name)
    assert verdict.status == "fail"
    assert verdict.exit_code == 1
    first = [each.activation.name for each in verdict.offenders[:3]]
    starts = {"mlp/sp": "hidden.0", "gpt/sp": "transformer.h.0.attn.c_attn", "llama/sp": "layers.0"}[name]
    assert any(each.startswith(starts) for each in first), first
    assert all(each.activation.file and each.activation.line for each in verdict.offenders[:3])


def test_attention_logits_are_measured_inside_fused_attention() -> None:
    _, verdict = checked("gpt/sp", seeds=2)
    logits = [each for each in verdict.judged if each.activation.kind == "logits"]
    assert [each.activation.module for each in logits] == ["transformer.h.0.attn", "transformer.h.1.attn"]
    assert all(each.slopes[0].fit.slope == pytest.approx(1.0, abs=0.15) for each in logits)
    assert all(each.status == "fail" for each in logits)


def test_same_seed_same_numbers_and_the_file_judges_alike(tmp_path: Path) -> None:
    (run, verdict), (again, _) = (checked("mlp/table8", steps=2, seeds=2) for _ in range(2))
    text = document.to_json(run, verdict)
    assert text == document.to_json(again, judge(again))
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    loaded = document.from_file(tmp_path / "run.json")
    assert document.to_json(loaded, judge(loaded)) == text
    assert json.loads(text)["schema"] == "muaudit.coord-check/1"
    assert len(document.to_csv(run).splitlines()) == 1 + len(run.activations) * 3 * 2 * 3


def test_a_fit_knows_its_error() -> None:
    widths = (64, 128, 256, 512)
    exact = np.array([[float(width)] * 3 for width in widths])
    found = fit(widths, exact)
    assert found is not None
    assert (found.slope, found.half_width) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-9))
    noisy = fit(widths, exact * np.exp(np.random.default_rng(0).normal(size=exact.shape)))
    assert noisy is not None
    assert noisy.half_width > 0.5
    assert fit(widths, np.zeros((4, 3))) is None


class Twice(nn.Module):
    """One layer used twice, a readout that starts at zero, and `scale` on the way out."""

    def __init__(self, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.embed, self.layer, self.head = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 4)
        self.scale = scale
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.layer(self.embed(x)).tanh()).tanh()) * self.scale


def small(build: Any, optimizer: str | None = None, **settings: Any) -> Measurement:
    target = from_functions(
        build,
        optimizer=optimizer,
        batch=lambda width: torch.randn(16, 8, generator=torch.Generator().manual_seed(0)),
        loss=lambda output, batch: nn.functional.cross_entropy(output, batch[:, :4].argmax(-1)),
        widths=(32, 64),
    )
    return measure(target, RunSettings(**{"widths": (32, 64), "steps": 2, "seeds": 2, **settings}))


def test_a_module_used_twice_counts_twice_and_zero_outputs_have_no_slope() -> None:
    run = small(Twice)
    assert [each.name for each in run.activations] == ["embed", "layer", "layer#1", "head", "output"]
    assert [each.kind for each in run.activations] == ["hidden"] * 3 + ["output"] * 2
    head = judge(run).judged[3]
    assert [slope.step for slope in head.slopes] == [1, 2]


def test_values_that_are_not_finite_are_findings() -> None:
    run = small(lambda width: Twice(width, scale=float("nan") if width == 64 else 1.0))
    verdict = judge(run)
    assert verdict.status == "fail"
    assert verdict.offenders[0].activation.name in ("output", "embed")
    assert any("not finite" in each.non_finite for each in verdict.offenders)
    assert verdict.wider == "fail"


def test_out_of_memory_drops_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(width: int) -> Twice:
        if width == 128:
            raise torch.OutOfMemoryError("no memory left")
        return Twice(width)

    run = small(build, widths=(32, 64, 128))
    assert any(notice.startswith("out of memory at width 128") for notice in run.notices)
    assert np.isnan(run.loss[2]).all()
    assert np.isfinite(run.loss[:2]).all()


def test_an_interrupt_keeps_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = training.train_together

    def interrupted(work: Work, *args: Any, **settings: Any) -> list[RunNumbers]:
        if 128 in work.sizes.values():
            raise KeyboardInterrupt
        return trained(work, *args, **settings)

    monkeypatch.setattr(training, "train_together", interrupted)
    run = small(Twice, widths=(32, 64, 128))
    assert run.notices == ("interrupted after 4 of 6 runs",)
    assert run.interrupted
    assert judge(run).status in ("pass", "undecided", "fail")


def test_an_interrupt_keeps_the_steps_of_the_run_that_it_stops() -> None:
    class Stops(Twice):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            Stops.calls += len(x) == 16 and self.embed.weight.device.type == "cpu"
            if self.embed.out_features == 64 and Stops.calls > 60:
                raise KeyboardInterrupt
            return super().forward(x)

    run = small(Stops, steps=100, seeds=1)
    assert run.notices == ("interrupted after 0 of 2 runs",) or run.notices == ("interrupted after 1 of 2 runs",)
    assert np.isfinite(run.loss[0]).all()
    assert np.isnan(run.loss[1, 0, -1])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--widths", "64"], "one width has no slope"),
        (["--widths", "128,64"], "did you mean --widths 64,128?"),
        (["--widths", "64,64,128"], "names a width twice"),
        (["--widths", "64,big"], "expects whole numbers"),
        (["--widths", "0,64"], "expects positive sizes"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--device", "cuda:99"], "is not there"),
        (["--dtype", "fp23"], "unknown dtype 'fp23'"),
        (["--format", "xml"], "unknown format 'xml'"),
        (["--lr", "-1"], "--lr expects a positive number"),
        (["--lr", "inf"], "--lr expects a positive number"),
        (["--from", "nowhere.json"], "--from reads a finished run"),
        (["--from", "nowhere.json", "--widths", "64,128"], "--widths would change nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_message(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        app(["coord-check", str(FIXTURES / "mlp/table8.py"), *args], prog_name="muaudit")
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert message in err
    assert not out


def test_a_width_that_the_model_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        app(["coord-check", str(FIXTURES / "gpt/table8.py"), "--widths", "64,128,255"], prog_name="muaudit")
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert "at width=255 raised AssertionError" in err
    assert "assert config.n_embd % config.n_head == 0" in err
    assert "--widths trains at other widths" in err


def test_a_loss_that_is_not_finite_at_step_1() -> None:
    run = small(lambda width: Twice(width, scale=1e30), steps=2, optimizer="sgd")
    verdict = judge(run)
    assert np.isfinite(run.loss[..., 0]).all()
    assert not np.isfinite(run.loss[..., 1]).any()
    assert (verdict.status, verdict.wider, verdict.wider_detail) == ("fail", "fail", "the loss is not finite")
    assert "not finite at step 1, width 32" in {each.non_finite for each in verdict.offenders}
    assert "not finite at step 1" in "".join(str(line) for line in check_lines(run, verdict))


@cache
def a_run() -> Measurement:
    return small(Twice)


def damaged(document: dict[str, Any], **changes: Any) -> str:
    return json.dumps({**document, **changes})


DAMAGES: dict[str, tuple[Callable[[dict[str, Any]], str], str]] = {
    "cut": (lambda d: json.dumps(d)[:500], "is not JSON"),
    "another": (lambda d: "[]", "expected schema muaudit.coord-check/1"),
    "no loss": (lambda d: json.dumps({key: value for key, value in d.items() if key != "loss"}), "it has no 'loss'"),
    "one width": (lambda d: damaged(d, widths=[64]), "expects at least two widths"),
    "steps": (lambda d: damaged(d, steps=5), "expected (2, 2, 6) numbers (width, seed, step) for the loss"),
    "dtype": (lambda d: damaged(d, dtype="fp8"), "expected a dtype of fp32, bf16, fp64, found 'fp8'"),
    "kind": (lambda d: damaged(d, activations=[{**d["activations"][0], "kind": "what"}]), "found 'what' for embed"),
    "values": (lambda d: damaged(d, activations=[{**d["activations"][0], "values": {}}]), "expected l2, l1"),
    "text": (lambda d: damaged(d, activations="text"), "is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run()
    change, message = DAMAGES[damage]
    (tmp_path / "run.json").write_text(change(json.loads(document.to_json(run, judge(run)))), encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        app(["coord-check", "--from", str(tmp_path / "run.json")], prog_name="muaudit")
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert message in err
    assert "internal error" not in err


def test_data_that_change_are_refused() -> None:
    target = from_functions(
        lambda width: Twice(width),
        batch=lambda width, calls=[]: (calls.append(1), torch.full((16, 8), float(len(calls))))[1],
        loss=lambda output, batch: output.square().mean(),
        widths=(32, 64),
    )
    from muaudit.errors import UserError

    with pytest.raises(UserError, match="different data"):
        measure(target, RunSettings(widths=(32, 64)))


def test_the_numbers_of_microsoft_mup() -> None:
    """The same l1 of the same activations as its `get_coord_data`, for the same initialization."""
    coord_check = pytest.importorskip("mup.coord_check")
    pytest.importorskip("pandas")
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    y = x[:, :4].argmax(-1)

    def net(width: int) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4))

    theirs = coord_check._get_coord_data(
        {width: (lambda width=width: net(width)) for width in (32, 64)}, [(x, y)],
        lambda model: torch.optim.AdamW(model.parameters(), lr=1e-2), nsteps=3, cuda=False, show_progress=False,
    )  # fmt: skip
    target = from_functions(
        net,
        batch=lambda width: x,
        loss=lambda output, batch: nn.functional.cross_entropy(output, batch[:, :4].argmax(-1)),
        optimizer=lambda model: torch.optim.AdamW(model.parameters(), lr=1e-2),
        widths=(32, 64),
    )
    ours = measure(target, RunSettings(widths=(32, 64), steps=3, seeds=1))
    compared = 0
    for each in ours.activations:
        for place, width in enumerate(ours.widths):
            for step in range(3):
                rows = theirs[(theirs.module == each.module) & (theirs.width == width) & (theirs.t == step + 1)]
                assert each.values["l1"][place, 0, step] == pytest.approx(float(rows.l1.iloc[0]), rel=1e-5)
                compared += 1
    assert compared == 6 * 2 * 3
