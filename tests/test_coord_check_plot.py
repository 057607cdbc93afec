"""The picture of a coordinate check, and judging again from a file."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from program import app
from test_html_charts import activation, measurement

from muaudit.page.print_style import marker, shade
from muaudit.page.spread import spread
from muaudit.training.drawn import PANELS, flat_sizes_of, shown_steps
from muaudit.training.picture import figure_of
from muaudit.training.verdict import judge

pytest.importorskip("matplotlib")
FIXTURES = Path(__file__).parents[1] / "fixtures"
FAST = ["--widths", "64,128,256", "--steps", "2", "--seeds", "2"]


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as stop:
        app(["coord-check", *args], prog_name="muaudit")
    return stop.value.code if isinstance(stop.value.code, int) else 0


def test_two_targets_above_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "both.svg"
    sp, mup = str(FIXTURES / "mlp/sp.py"), str(FIXTURES / "mlp/table8.py")
    assert run(sp, *FAST, "--compare", mup, "--plot", str(figure)) == 1
    out, _ = capsys.readouterr()
    assert out.count("coordinate check:") == 2
    drawn = figure.read_text(encoding="utf-8")
    for text in ("value at init", "change after step 2", "hidden.0", "not stable in width", "attention logits"):
        assert text in drawn
    assert drawn.count("change after step 1<") == 2


def test_a_plan_makes_it_stable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, figure = str(FIXTURES / "mlp/sp.py"), tmp_path / "both.png"
    with pytest.raises(SystemExit):
        app(["convert", target, "--base-width", "64", "--width", "256", "--out", str(tmp_path)], prog_name="muaudit")
    plan = str(tmp_path / "plan.yaml")
    assert run(target, *FAST, "--plan", plan) == 0
    assert run(target, *FAST, "--compare-plan", plan, "--plot", str(figure)) == 1
    out, _ = capsys.readouterr()
    assert out.index("coordinate check: not stable") < out.rindex("coordinate check: stable")
    assert figure.stat().st_size > 5000


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_a_file_is_drawn_without_torch_or_pyplot(suffix: str, tmp_path: Path) -> None:
    report = tmp_path / "run.json"
    assert run(str(FIXTURES / "mlp/sp.py"), *FAST, "--format", "json", "--output", str(report)) == 1
    code = f"""
import sys
from muaudit.cli.application import application
app = application()
try:
    app(["coord-check", "--from", {str(report)!r}, "--plot", {str(tmp_path / f"run.{suffix}")!r}])
except SystemExit as stop:
    assert stop.code == 1, stop.code
assert "torch" not in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert (tmp_path / f"run.{suffix}").stat().st_size > 5000


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--plot", "coord.gif"], "--plot writes .png, .svg, .pdf"),
        (["--plot", "nowhere/coord.png"], "no such folder: nowhere"),
        (["--compare", "x.py", "--format", "json"], "json holds one run"),
    ],
    ids=["format", "folder", "compare"],
)
def test_bad_plots(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(FIXTURES / "mlp/sp.py"), *args) == 2
    assert message in capsys.readouterr().err


def test_numbers_beside_the_lines_keep_their_distance_and_order() -> None:
    places = [0.5, 0.51, 0.1, 0.52, 0.9]
    moved = spread(places, 0.05)
    ranked = sorted(moved)
    assert [moved.index(each) for each in ranked] == [2, 0, 1, 3, 4]
    assert all(above - below > 0.05 - 1e-9 for below, above in pairwise(ranked))
    assert (moved[2], moved[4]) == (0.1, 0.9)  # what has room stays
    assert moved[1] == pytest.approx(0.51)


def test_what_moves_by_design_is_drawn_flat() -> None:
    """A value of size n^-1 whose weight carries a multiplier of n still to come."""
    run_ = measurement(activation("ln_f", -1.0, multiplier=1.0), activation("a", 0.5))
    by_design, wrong = judge(run_).judged
    flat, kept = flat_sizes_of(run_, by_design, 0), flat_sizes_of(run_, wrong, 0)
    assert max(flat) / min(flat) < 1.2
    assert kept[-1] / kept[0] == pytest.approx((run_.widths[-1] / run_.widths[0]) ** 0.5, rel=0.2)


@pytest.mark.parametrize("name", ["a", "transformer.layers.0.self_attention.output_projection", "x." * 60])
def test_nothing_is_cut_off(name: str) -> None:
    run_ = measurement(activation(name, -1.0, multiplier=1.0), *(activation(f"{name}{i}", 0.5) for i in range(6)))
    for axis in ("width", "depth"):
        figure = figure_of([(replace(run_, axis=axis), judge(run_))])
        figure.draw_without_rendering()
        inner = [legend for part in figure.subfigs for legend in part.legends]
        boxes = [text.get_window_extent() for legend in inner for text in legend.get_texts()]
        assert len(boxes) >= 7
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize("count", [2, 4, 6])
def test_curves_are_told_apart_in_grey_and_by_their_marks(count: int) -> None:
    from matplotlib import colormaps

    lightness = [
        np.dot(colormaps["viridis"](shade(place, count))[:3], (0.2126, 0.7152, 0.0722)) for place in range(count)
    ]
    assert all(before - after > 0.05 for before, after in pairwise(lightness))
    assert lightness[0] < 0.7  # on white paper
    assert len({marker(place) for place in range(count)}) == count


def test_a_long_run_has_a_bounded_number_of_panels() -> None:
    assert shown_steps(4) == [0, 1, 2, 3, 4]
    shown = shown_steps(500)
    assert (shown[0], shown[1], shown[-1]) == (0, 1, 500)
    assert len(shown) <= PANELS
