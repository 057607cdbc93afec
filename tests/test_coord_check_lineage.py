"""What may shrink: heads that no loss reads, what learns through attention logits alone, gains that absorb a factor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from muaudit.report.render import to_text
from muaudit.targets import resolve
from muaudit.training.coord_check_lines import check_lines
from muaudit.training.lineage import Known
from muaudit.training.listener import Listener
from muaudit.training.measure import measure
from muaudit.training.measurement import STATISTICS, Activation, Kind, Measurement
from muaudit.training.run_settings import RunSettings
from muaudit.training.verdict import judge

FIXTURES = Path(__file__).parents[1] / "fixtures"
WIDTHS = (64, 128, 256)


class Attention(nn.Module):
    """Separate queries, keys and values, a table on the logits, and a head that no loss reads."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.q, self.k, self.v, self.other = (nn.Linear(8, 8) for _ in range(4))
        self.table, self.fused = nn.Embedding(5, 5), fused

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        q, k, v = self.q(x), self.k(x), self.v(x)
        bias = self.table(torch.arange(5))
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1 / 8)
        else:
            y = F.softmax(q @ k.mT / 8 + bias, -1) @ v
        return y, self.other(y)


@pytest.mark.parametrize("fused", [True, False])
def test_the_graph_tells_what_the_loss_reads_and_how(fused: bool) -> None:
    model = nn.Sequential(Attention(fused))
    known = Known()
    recorder = Listener(model, known)
    with recorder:
        y, _ = model(torch.randn(2, 5, 8))
    known.trace(y.square().sum(), recorder.nodes, recorder.logit_nodes)
    recorder.close()
    assert known.logits_only == {"0.q", "0.k", "0.table"}
    assert known.unread == {"0.other", "output[1]"}
    assert known.parents["0.other"] == {"0"}  # y, which the module returns
    assert known.parents["0"] == {"0.q", "0.k", "0.v", "0.table"}
    assert known.parents["0.q"] == set()


def made(kind: Kind, slope: float, optimizer: str = "adam", **facts: Any) -> Measurement:
    """A run whose one activation has size 1 and changes like width^slope."""
    sizes = np.array([[[float(width) ** slope * 0.01 * step for step in range(3)]] * 3 for width in WIDTHS])
    values = {name: sizes if "change" in name else np.ones_like(sizes) for name in STATISTICS}
    activation = Activation("a", "a", kind, values, **facts)
    return Measurement(
        "t",
        "t",
        "width",
        WIDTHS,
        2,
        3,
        0,
        "cpu",
        "fp32",
        f"{optimizer} (your own optimizer())",
        None,
        (activation,),
        np.ones((3, 3, 3)),
    )


@pytest.mark.parametrize(
    ("kind", "slope", "facts", "status"),
    [
        ("output", -0.6, {}, "fail"),
        ("output", -0.6, {"read": False}, "pass"),
        ("output", +0.5, {"read": False}, "fail"),  # growth is wrong in any head
        ("hidden", -0.5, {}, "fail"),
        ("hidden", -0.5, {"logits_only": True}, "fail"),  # Adam makes up for a small gradient
        ("hidden", -0.5, {"logits_only": True, "optimizer": "sgd"}, "pass"),
        ("hidden", -1.0, {"logits_only": True, "optimizer": "sgd"}, "fail"),
        ("hidden", -0.45, {"of_outputs": True}, "pass"),  # what it is computed from may
        ("hidden", -1.0, {"of_outputs": True}, "fail"),
        ("hidden", -1.0, {"multiplier": 1.0}, "pass"),
    ],
)
def test_what_may_shrink(kind: Kind, slope: float, facts: dict[str, Any], status: str) -> None:
    assert judge(made(kind, slope, **facts)).status == status


@pytest.mark.parametrize(("start", "status"), [(-0.6, "pass"), (-1.0, "fail"), (0.0, "fail")])
def test_an_output_near_its_target_changes_as_it_starts(start: float, status: str) -> None:
    """A value head whose targets are zero starts at n^-1/2 and has no more than that to lose."""
    run = made("output", -0.65)
    noise = np.array([1.2, 1.0, 0.8])[None, :, None]
    value = np.ones((3, 3, 3)) * (np.array(WIDTHS) ** start)[:, None, None] * noise
    values = {**run.activations[0].values, "l2": value, "l1": value}
    assert judge(replace(run, activations=(replace(run.activations[0], values=values),))).status == status


@pytest.mark.parametrize(("ideal", "statuses"), [(-0.5, ["fail", "pass"]), (0.0, ["pass", "fail"])])
def test_a_constant_that_follows_asks_for_exactly_its_inverse(ideal: float, statuses: list[str]) -> None:
    """Table 9's embedding is n^-1/2 before its multiplier; one that is flat there makes all that follows grow."""
    flat, falling = made("hidden", 0.0), made("hidden", -0.5)
    value = np.ones((3, 3, 3)) * (np.array(WIDTHS) ** -0.5)[:, None, None]
    shrinks = {**falling.activations[0].values, "l2": value, "l1": value}
    for run, values, status in zip((flat, falling), (flat.activations[0].values, shrinks), statuses, strict=True):
        activation = replace(run.activations[0], values=values, multiplier=0.5, ideal=ideal)
        assert judge(replace(run, activations=(activation,))).status == status
        excused = replace(activation, ideal=None)  # where the constant stands is not known
        assert judge(replace(run, activations=(excused,))).status == "pass"


def test_an_interval_within_the_allowed_range_decides_however_wide_it_is() -> None:
    run = made("logits", 0.0)
    noisy = np.ones((3, 3, 3)) * np.array([64.0, 16.0, 1.0])[:, None, None] * np.array([1.0, 3.0, 6.0])[:, None]
    values = dict.fromkeys(STATISTICS, noisy)
    slope = judge(replace(run, activations=(replace(run.activations[0], values=values),))).judged[0].slopes[0]
    assert slope.fit.half_width > 0.5
    assert slope.status == "pass"


def test_what_does_not_change_is_not_in_the_chart_and_installed_code_goes_by_its_import() -> None:
    run = made("hidden", 0.0)
    values = run.activations[0].values
    still = {**values, "l2": 2 * values["l2"], **dict.fromkeys(("change_l2", "change_l1"), np.zeros((3, 3, 3)))}
    table = Activation("table", "table", "hidden", still)
    grows = made("hidden", 1.0, file="/venv/lib/python3.11/site-packages/lib/model.py", line=3).activations[0]
    grows = replace(grows, name="grows", values={**grows.values, "l2": 3 * values["l2"]})
    run = replace(run, activations=(replace(run.activations[0], name="flat"), table, grows))
    text = to_text(check_lines(run, judge(run)), None)
    assert "  lib/model.py:3  " in text
    chart = text.rpartition("from −1 to +1")[2].partition("next:")[0]
    assert [row.split()[0] for row in chart.splitlines() if row] == ["flat", "grows"]


@pytest.mark.parametrize(("seeds", "wider"), [(3, "fail"), (1, "undecided")])
def test_one_seed_cannot_tell_that_wider_is_worse(seeds: int, wider: str) -> None:
    run = made("hidden", 0.0)
    loss = np.array([1.0, 1.0, 1.2])[:, None, None] * np.ones((3, seeds, 3))
    values = {name: each[:, :seeds] for name, each in run.activations[0].values.items()}
    verdict = judge(replace(run, seeds=seeds, loss=loss, activations=(replace(run.activations[0], values=values),)))
    assert verdict.wider == wider
    assert "from width 128 to 256" in verdict.wider_detail


def test_a_gain_that_absorbs_the_readouts_factor_may_shrink() -> None:
    run = measure(resolve(str(FIXTURES / "gpt/absorbed.py")), RunSettings(widths=(64, 128, 256), steps=2, seeds=2))
    gain = next(each for each in judge(run).judged if each.activation.name == "transformer.ln_f")
    assert gain.slopes[0].fit.slope == pytest.approx(-1.0, abs=0.02)
    assert gain.status == "pass"


def test_a_module_that_only_multiplies_may_shrink_what_the_readout_reads() -> None:
    """The factor 1/m of Table 8 as a module of its own: what it returns is n^-1 by design, and nothing else is."""
    run = measure(resolve(str(FIXTURES / "styles" / "sequential.py")), RunSettings(widths=WIDTHS, steps=2))
    assert {a.name: a.ideal for a in run.activations if a.ideal} == {"5": -1.0}
    verdict = judge(run)
    assert verdict.status == "pass"
    (scaled,) = (each for each in verdict.judged if each.activation.name == "5")
    assert scaled.slopes[0].fit.slope == pytest.approx(-1, abs=0.05)
