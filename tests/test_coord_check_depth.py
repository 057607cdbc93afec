"""Coordinate checks over depth: right models are stable in it, and of others it is told what grows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from models import deep
from models import depth_traps as traps
from program import app
from torch import nn
from typer.testing import CliRunner

from muaudit.convert.planner import make_plan
from muaudit.errors import UserError
from muaudit.plan.planned import planned
from muaudit.targets import Target, from_functions
from muaudit.training.document import from_file, to_json
from muaudit.training.measurement import Measurement
from muaudit.training.over_depths import measure_over_depth
from muaudit.training.run_settings import RunSettings
from muaudit.training.verdict import JudgedActivation, judge

SETTINGS = RunSettings(depths=(2, 4, 8), seeds=2, steps=1)


def trap(make: Callable[[int], nn.Module]) -> Target:
    def build(width: int, depth: int = 2) -> nn.Module:
        return make(depth)

    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=1e-5)

    return from_functions(build, batch=traps.batch, optimizer=optimizer, widths=(32, 64), depths=(2, 4))


def slopes(judged: JudgedActivation) -> tuple[float, float]:
    return judged.slopes[0].fit.slope, judged.slopes[1].fit.slope


def expected(judged: JudgedActivation) -> tuple[float | None, float | None]:
    """What the audit says beforehand, of the start and of the change."""
    return judged.activation.predicted_init, judged.activation.predicted_update


def found(run: Measurement) -> dict[str, JudgedActivation]:
    return {each.activation.name: each for each in judge(run).judged}


@pytest.fixture(scope="module")
def plain() -> Measurement:
    return measure_over_depth(trap(traps.plain), SETTINGS)


def test_completep_is_stable_and_what_blocks_add_changes_by_one_over_their_number() -> None:
    run = measure_over_depth(trap(traps.completep), SETTINGS)
    assert judge(run).status == "pass"
    points = found(run)
    assert slopes(points["stream"]) == pytest.approx((0.0, 0.0), abs=0.15)
    assert slopes(points["blocks.*.down added"]) == pytest.approx((-1.0, -1.0), abs=0.1)
    assert slopes(points["blocks.*.up"]) == pytest.approx((0.0, 0.0), abs=0.1)
    assert {each.activation.kind for each in points.values()} == {"stream", "added", "inside"}
    assert (expected(points["stream"]), expected(points["blocks.*.down added"])) == ((0.0, 0.0), (-1.0, -1.0))


def test_of_a_model_that_ignores_depth_the_stream_changes_with_it(plain: Measurement) -> None:
    """L aligned changes of size 1, and L random terms of size 1 (DESIGN 3.8)."""
    verdict, points = judge(plain), found(plain)
    assert verdict.exit_code == 1
    failed = {each.activation.name for each in verdict.offenders}
    assert {"stream", "blocks.*.down added"} <= failed
    assert slopes(points["blocks.*.down added"])[0] == pytest.approx(0.0, abs=0.1)
    assert slopes(points["stream"])[1] > 0.7
    # L random terms add up like L^1/2 and L aligned changes like L; a pre-norm divides one by the other
    assert (expected(points["stream"]), expected(points["blocks.*.down added"])) == ((0.5, 1.0), (0.0, 0.5))
    assert verdict.disagreements == []


def test_as_a_plan_converts_it_it_is_stable() -> None:
    target = trap(traps.plain)
    plan = make_plan(target, None, 32, depths=(2, 8))
    assert judge(measure_over_depth(planned(target, plan), SETTINGS)).status == "pass"


def test_depth_mup_is_lazy_in_what_blocks_add_and_stable() -> None:
    def build(width: int, depth: int = 2) -> nn.Module:
        return deep.Gpt(depth, deep.Scheme(alpha=0.5))

    target = from_functions(
        build, batch=lambda: deep.batch("gpt"), optimizer=deep.optimizer, widths=(32, 64), depths=(2, 4)
    )
    run = measure_over_depth(target, RunSettings(depths=(2, 4, 8), seeds=1, steps=1))
    assert (run.alpha, judge(run).offenders) == (0.5, [])
    added = [each for each in found(run).values() if each.activation.kind == "added"]
    assert [slopes(each)[0] for each in added] == pytest.approx([-0.5, -0.5], abs=0.1)
    # by its own tensors it changes as 1/L; by what it reads as L^-1/2, and that adds up at random (Depth-µP)
    assert [expected(each) for each in added] == [(-0.5, -0.5), (-0.5, -0.5)]
    assert (expected(found(run)["stream"]), judge(run).disagreements) == ((0.0, 0.0), [])


def test_a_constant_in_the_sum_itself_is_in_what_is_added() -> None:
    """`torch.add(x, y, alpha=1/L)` has no value of its own for what it adds."""

    def make(depth: int) -> traps.Net:
        return traps.Net(
            [traps.Branch() for _ in range(depth)], lambda x, block, x0, number: torch.add(x, block(x), alpha=2 / depth)
        )

    points = found(measure_over_depth(trap(make), RunSettings(depths=(4, 8), seeds=1, steps=1)))
    assert slopes(points["blocks.*.down added"])[0] == pytest.approx(-1.0, abs=0.15)


def test_the_document_says_that_it_is_over_depth_and_is_read_again(plain: Measurement, tmp_path: Path) -> None:
    path = tmp_path / "check.json"
    path.write_text(to_json(plain, judge(plain)))
    document = json.loads(path.read_text())
    assert (document["axis"], document["width_name"], document["widths"]) == ("depth", "depth", [2, 4, 8])
    again = from_file(path)
    assert judge(again).offenders[0].activation.name == judge(plain).offenders[0].activation.name
    del document["axis"], document["alpha"]  # as it was before there was another axis
    path.write_text(json.dumps(document | {"activations": []}))
    assert from_file(path).axis == "width"


def test_a_stack_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(UserError, match=r"no check over depth:(.|\n)*every sum is normalised"):
        measure_over_depth(trap(traps.post_norm), SETTINGS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--depths", "2,4", "--widths", "8,16"), "a check is along one of them"),
        (("--depths", "4"), "--depths expects at least two depths"),
        (("--depths", "2,4", "--spectral"), "--spectral has norms of its own: --depths"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[str, ...], words: str) -> None:
    done = CliRunner().invoke(app, ["coord-check", "fixtures/gpt/sp.py", *arguments])
    assert (done.exit_code, words in done.output) == (2, True), done.output


def test_layers_before_and_behind_the_blocks_may_be_in_their_list() -> None:
    points = found(measure_over_depth(trap(traps.in_one_list(-1.0)), RunSettings(depths=(2, 4), seeds=1, steps=1)))
    assert slopes(points["*.branch.down added"])[1] == pytest.approx(-1.0, abs=0.3)
    assert points["stream"].activation.kind == "stream"
