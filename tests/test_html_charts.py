"""Pages of coordinate checks, sweeps and plans: what they draw, and that nothing of the user's runs in them."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_html_report import Page

from muaudit.page.chart import COLORS, axis, packed_script, plain, wrapped
from muaudit.page.html_document import framed
from muaudit.plan.plan_page import Beside, plan_page, plan_section
from muaudit.plan.scales import Entry, Hook, Scales
from muaudit.sweep.curves import Curves
from muaudit.sweep.result import SweepResult
from muaudit.sweep.sweep_page import sweep_page
from muaudit.sweep.sweep_verdict import Tolerance
from muaudit.sweep.sweep_verdict import judge as judge_sweep
from muaudit.training.coord_check_page import check_page
from muaudit.training.measurement import STATISTICS, Activation, Measurement
from muaudit.training.verdict import judge

EVIL = "</style><script>alert(1)</script><img src=x onerror=alert(2)>\"' onmouseover=alert(3) {{ 7 * 7 }}"
WIDTHS = (64, 128, 256)


def activation(name: str, exponent: float, multiplier: float = 0.0, **more: object) -> Activation:
    """Sizes that go like n^exponent, at every step and for two seeds."""
    sizes = np.array([(width / 64) ** exponent for width in WIDTHS])[:, None, None] * np.ones((1, 2, 3))
    sizes = sizes * np.array([1.0, 1.01])[None, :, None]
    values = dict.fromkeys(STATISTICS, sizes)
    return Activation(name, name, "hidden", values, multiplier=multiplier, **more)  # type: ignore[arg-type]


def measurement(*activations: Activation, name: str = "Net") -> Measurement:
    loss = np.ones((3, 2, 3))
    return Measurement(name, name, name, WIDTHS, 2, 2, 0, "cpu", "fp32", "adam (default)", None, activations, loss,
                       notices=(name,))  # fmt: skip


def swept(titles: str = "Net as it is", lost: bool = False) -> tuple[SweepResult, Sequence[object]]:
    values = tuple(2.0**power for power in range(-8, -2))
    axis = np.arange(-8.0, -2.0)
    losses = np.stack([1.0 - 0.1 * w + 0.1 * (axis + 5.0) ** 2 for w in range(3)])[:, None, :] + np.zeros((1, 3, 1))
    losses = losses + np.array([-0.001, 0.0, 0.001])[None, :, None]
    if lost:
        losses[2, :, -1] = np.inf
    curves = Curves("original", "lr", WIDTHS, values, losses, start=4.0)
    measured = SweepResult(titles, titles, titles, {"original": titles}, "original", (curves,), titles, (titles,))
    return measured, [judge_sweep(curves, Tolerance())]


def scales(name: str = "w") -> Scales:
    entry = Entry(name, ("hidden",), ("n", "n"), -0.5, -1.0, 1.0, -1.0, note=name)
    return Scales(name, name, 64, 256, "adamw", (entry,), (Hook(name, "output", -1.0, name),), notes=(name,))


def pages(text: str) -> dict[str, str]:
    measured, verdicts = swept(text)
    run = measurement(activation(text, 0.5, file=text, line=1), activation("b", 0.0), name=text)
    beside = Beside(text, "good", (text,))
    return {
        "check": check_page([(run, judge(run))]),
        "sweep": sweep_page(measured, verdicts),  # type: ignore[arg-type]
        "plan": plan_page(scales(text)) + str(plan_section(scales(text), beside=beside).body),
    }


@pytest.mark.parametrize("kind", ["check", "sweep", "plan"])
def test_what_comes_from_user_code_is_text_and_nothing_else_is_loaded(kind: str) -> None:
    page = Page(pages(EVIL)[kind])
    assert {tag for tag, _ in page.elements if tag in ("script", "img", "link", "iframe", "object", "base")} == {
        "script"
    }
    assert not [name for _, each in page.elements for name in each if name.startswith("on") or name == "src"]
    assert not any("alert(1)" in text for kind, text in page.data if kind != "application/json")
    assert "{{ 7 * 7 }}" in page.text("h2")


@pytest.mark.parametrize("kind", ["check", "sweep"])
def test_what_comes_from_user_code_is_no_markup_of_plotly(kind: str) -> None:
    """Its labels know tags and values of `%{…}`; only what is written here may be one."""
    for figure in figures(Page(pages(EVIL + "<b>%{x}")[kind])):
        known = re.compile(r"</?(b|sup|extra)>|<br>|%\{(text|customdata|x:d|y:[^}]*)\}|&(lt|gt|amp|#123);")
        for text in strings(figure):
            assert not re.search(r"[<{]|&(?!\w)", known.sub("", text)), text


def figures(page: Page) -> list[Any]:
    return [json.loads(text) for kind, text in page.data if kind == "application/json"]


def strings(part: Any) -> list[str]:
    if isinstance(part, dict):
        return [text for each in part.values() for text in strings(each)]
    if isinstance(part, list):
        return [text for each in part for text in strings(each)]
    return [part] if isinstance(part, str) else []


def of(figure: Any, what: str) -> list[Any]:
    return [trace for trace in figure["data"] if trace["meta"]["of"] == what]


def test_figures_are_of_plotlys_schema() -> None:
    go = pytest.importorskip("plotly.graph_objects")
    run = measurement(activation("a", 0.0), activation("b", 0.5, predicted_init=0.5))
    for text in (*pages("x").values(), check_page([(run, judge(run))])):
        for figure in figures(Page(text)):
            go.Figure(figure)


def test_a_page_carries_plotlys_script_where_it_has_charts_and_stays_small() -> None:
    made = pages("x")
    (packed,) = [text for kind, text in Page(made["check"]).data if kind == "text/plain"]
    script = gzip.decompress(base64.b64decode(packed)).decode()
    assert script.startswith("/**\n* plotly.js")
    assert "Licensed under the MIT license" in script[:300]
    assert packed == packed_script()
    assert len(made["check"]) < 2.5e6
    assert len(made["plan"]) < 1e5


def test_writing_a_page_with_charts_imports_nothing_of_plotly() -> None:
    code = "import sys, muaudit.page.chart as c; c.packed_script(); assert 'plotly' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_label_of_plotly_shows_a_text_as_it_is() -> None:
    assert plain("a<b>&amp; %{x}") == "a&lt;b&gt;&amp;amp; %&#123;x}"
    assert wrapped("n" * 60, "", "fail") == f"<b>{'n' * 44}<br>{'n' * 16}</b><br>fail"


@pytest.mark.parametrize(("place", "page"), [(0, "#ffffff"), (1, "#14171c")])
def test_lines_are_seen_on_the_page_and_are_told_apart_in_grey(place: int, page: str) -> None:
    """WCAG 2.2, 1.4.11: at least 3 between a graphic and what is beside it; its relative luminance goes one way."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    seen = [luminance(pair[place]) for pair in COLORS]
    assert seen == sorted(seen)
    assert all((max(each, luminance(page)) + 0.05) / (min(each, luminance(page)) + 0.05) >= 3 for each in seen)


def test_a_page_in_a_notebook_stays_in_its_frame() -> None:
    frame = Page(framed(pages(EVIL)["plan"], EVIL))
    ((tag, each),) = frame.elements
    assert (tag, each["sandbox"]) == ("iframe", "allow-scripts")
    assert each["srcdoc"].startswith("<!DOCTYPE html>")
    assert each["title"] == EVIL


def sizes(page: Page, frame: str) -> list[float]:
    """What the first line of a frame is drawn through."""
    (figure,) = figures(page)
    (found,) = [each for each in figure["frames"] if each["name"] == frame]
    return found["data"][0]["y"][: len(WIDTHS)]  # type: ignore[no-any-return]


def test_what_a_plan_moves_by_design_is_flat_and_its_raw_values_are_a_switch_away() -> None:
    """A value of size n^-1 whose weight carries a multiplier of n still to come (TP5 Table 8 read the other way)."""
    run = measurement(activation("ln_f", -1.0, multiplier=1.0))
    page = Page(check_page([(run, judge(run))]))
    flat, raw = sizes(page, "2"), sizes(page, "2 raw")
    assert flat == pytest.approx([flat[0]] * 3, rel=1e-3)
    assert raw == pytest.approx([raw[0], raw[0] / 2, raw[0] / 4], rel=1e-3)
    assert [each for _, each in page.elements if "data-raw" in each]


def test_what_fails_is_not_made_flat() -> None:
    run = measurement(activation("a", 1.0, multiplier=0.0))
    page = Page(check_page([(run, judge(run))]))
    drawn = sizes(page, "2")
    assert drawn == pytest.approx([drawn[0], 2 * drawn[0], 4 * drawn[0]], rel=1e-3)
    assert not [each for _, each in page.elements if "data-raw" in each]


def test_every_step_has_a_frame_and_every_line_a_row_that_names_it() -> None:
    run = measurement(activation("a", 0.0), activation("b", 0.5))
    page = Page(check_page([(run, judge(run))]))
    (figure,) = figures(page)
    assert [each["name"] for each in figure["frames"]] == ["0", "1", "2"]
    lines = {str(line) for trace in of(figure, "curve") for line in trace["meta"]["lines"]}
    assert lines == {each["data-pick"] for _, each in page.elements if "data-pick" in each} == {"0", "1"}
    assert [text.split("<br>")[0] for text in figure["layout"]["meta"]["told"]] == ["<b>a</b>", "<b>b</b>"]
    for trace in of(figure, "curve"):
        assert len(trace["x"]) == len(trace["y"]) == (len(WIDTHS) + 1) * len(trace["meta"]["lines"])


def test_a_prediction_goes_through_the_first_point_that_was_measured() -> None:
    """n^1/2 from 64 to 256 is a factor of 2; the change of n^1, and n^1/4 of it left, factors of 4 and of 2^1/2."""
    known = {"predicted_init": 0.5, "predicted_update": 1.0, "predicted_capped": 0.25}
    run = measurement(activation("a", 0.5, **known))
    (figure,) = figures(Page(check_page([(run, judge(run))])))
    start, change = (next(each["data"][1]["y"] for each in figure["frames"] if each["name"] == name) for name in "02")
    first = figure["frames"][0]["data"][0]["y"][0]
    assert start[:2] == pytest.approx([first, 2 * first], rel=1e-3)
    assert start[2:] == [None] * 4
    assert change[:2] == pytest.approx([first, 4 * first], rel=1e-3)
    assert change[3:5] == pytest.approx([first, math.sqrt(2) * first], rel=1e-3)


def test_a_point_without_neighbours_is_marked_and_zero_is_a_gap() -> None:
    of_zero = activation("a", 0.0)
    values = {name: each.copy() for name, each in of_zero.values.items()}
    for each in values.values():
        each[0], each[2] = 0.0, np.nan
    lone = Activation("b", "b", "hidden", values, multiplier=0.0)
    run = measurement(of_zero, lone, *(activation(f"c{n}", 0.1) for n in range(8)))
    (figure,) = figures(Page(check_page([(run, judge(run))])))
    (trace,) = [each for each in of(figure, "curve") if 1 in each["meta"]["lines"]]
    at = 4 * trace["meta"]["lines"].index(1)
    assert trace["y"][at] is trace["y"][at + 2] is None
    assert trace["y"][at + 1] == pytest.approx(1.005, rel=1e-3)
    assert trace["mode"] == "lines+markers"


def test_the_error_of_an_optimum_does_not_stretch_the_axis() -> None:
    measured, verdicts = swept()
    (verdict,) = verdicts
    wide = [replace(each, error=30.0) for each in verdict.optima]  # type: ignore[attr-defined]
    verdicts = [replace(verdict, optima=tuple(wide))]  # type: ignore[type-var]
    (figure,) = figures(Page(sweep_page(measured, verdicts)))  # type: ignore[arg-type]
    star = next(each for each in of(figure, "beside") if each.get("marker", {}).get("symbol") == "star")
    low, high = figure["layout"]["xaxis"]["range"]
    (place,) = star["x"]
    assert (place - star["error_x"]["arrayminus"][0], place + star["error_x"]["array"][0]) == pytest.approx((low, high))


def test_runs_that_diverged_are_marked_and_leave_a_gap() -> None:
    measured, verdicts = swept(lost=True)
    (figure,) = figures(Page(sweep_page(measured, verdicts)))  # type: ignore[arg-type]
    crosses = [each for each in of(figure, "beside") if each.get("marker", {}).get("symbol") == "x"]
    assert [(each["x"], each["meta"]["lines"]) for each in crosses] == [([-3.0], [2])]
    assert [each["y"].count(None) for each in of(figure, "curve")] == [0, 0, 1]


def test_a_band_is_the_range_over_seeds_and_the_curves_stand_in_a_table() -> None:
    """Losses of `swept`: a parabola of 0.1 around 2^-5, 0.1 lower a width, seeds 0.001 apart."""
    measured, verdicts = swept()
    page = Page(sweep_page(measured, verdicts))  # type: ignore[arg-type]
    (figure,) = figures(page)
    band = next(each for each in of(figure, "beside") if each.get("fill"))
    assert (band["y"][0], band["y"][-1]) == pytest.approx((1.901, 1.899))
    assert [text for text in ("1.9", "1.8", "1.7") if text not in page.text("td").split()] == []


def test_scales_at_other_widths_follow_their_exponents() -> None:
    page = Page(plan_page(scales()))
    cells = [each["data-over-width"] for tag, each in page.elements if tag == "span" and "data-over-width" in each]
    assert [float(each) for each in cells] == [-0.5, -1.0, 1.0, -1.0, -1.0]
    (slider,) = [each for _, each in page.elements if "data-size" in each]
    sizes = [int(size) for size in slider["data-sizes"].split(",")]
    assert (slider["data-base"], sizes[int(slider["value"])]) == ("64", 256)


@pytest.mark.parametrize(("low", "high", "every"), [(0.001, 10.0, 1), (1e-12, 1.0, 2), (0.15, 0.9, None)])
def test_a_logarithmic_axis_has_a_few_powers_of_ten(low: float, high: float, every: int | None) -> None:
    made = axis("size", low, high, True)
    assert made["range"] == pytest.approx([math.log10(low), math.log10(high)])
    assert made.get("dtick") == every
