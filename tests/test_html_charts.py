"""Pages of coordinate checks, sweeps and plans: what they draw, and that nothing of the user's runs in them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from test_html_report import Page

from muaudit.page.chart import Best, Chart, Curve, Frame, Scale, drawn, even, powers_of_ten
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
    assert [tag for tag, _ in page.elements if tag in ("script", "img", "link", "iframe", "object", "base")] == [
        "script"
    ]
    assert not [name for _, each in page.elements for name in each if name.startswith("on") or name == "src"]
    assert "alert(1)" not in page.text("script")
    assert "{{ 7 * 7 }}" in page.text("h2")


def test_a_page_in_a_notebook_stays_in_its_frame() -> None:
    frame = Page(framed(pages(EVIL)["plan"], EVIL))
    ((tag, each),) = frame.elements
    assert (tag, each["sandbox"]) == ("iframe", "allow-scripts")
    assert each["srcdoc"].startswith("<!DOCTYPE html>")
    assert each["title"] == EVIL


def heights(page: Page, view: str) -> list[float]:
    """The places of the first line's points in the last step's frame of a view."""
    frames = [n for n, (_, each) in enumerate(page.elements)
              if each.get("data-frame") == "2" and each.get("data-view") == view]  # fmt: skip
    line = next(each for _, each in page.elements[frames[0] :] if each.get("class", "").startswith("line"))
    return [float(number) for number in re.findall(r"[ML]\S+ (\S+?)(?=[ML]|$)", line["d"])]


def test_what_a_plan_moves_by_design_is_flat_and_its_raw_values_are_a_switch_away() -> None:
    """A value of size n^-1 whose weight carries a multiplier of n still to come (TP5 Table 8 read the other way)."""
    run = measurement(activation("ln_f", -1.0, multiplier=1.0))
    page = Page(check_page([(run, judge(run))]))
    flat, raw = heights(page, "divided"), heights(page, "raw")
    assert max(flat) - min(flat) < 0.5
    assert raw[-1] - raw[0] > 50  # downwards
    assert [each for _, each in page.elements if "data-raw" in each]


def test_what_fails_is_not_made_flat() -> None:
    run = measurement(activation("a", 1.0, multiplier=0.0))
    page = Page(check_page([(run, judge(run))]))
    assert heights(page, "")[0] - heights(page, "")[-1] > 50
    assert not [each for _, each in page.elements if "data-raw" in each]


def test_every_step_has_a_frame_and_every_line_a_row_that_names_it() -> None:
    run = measurement(activation("a", 0.0), activation("b", 0.5))
    page = Page(check_page([(run, judge(run))]))
    assert {each["data-frame"] for _, each in page.elements if "data-frame" in each} == {"0", "1", "2"}
    lines = {each["data-line"] for _, each in page.elements if "data-line" in each}
    assert lines == {each["data-pick"] for _, each in page.elements if "data-pick" in each} == {"0", "1"}


def test_the_error_of_an_optimum_does_not_stretch_the_axis() -> None:
    x = Scale("lr", -8.0, -2.0, ())
    curve = Curve(0, ((-8.0, 1.0), (-2.0, 1.0)), 0.0, best=Best(-5.0, 1.0, -30.0, -4.0))
    chart = drawn(Chart("t", x, Scale("loss", 0.0, 2.0, ()), (Frame((curve,)),)))
    best = chart["frames"][0]["curves"][0]["best"]
    assert (best["low"], best["x"]) == (chart["left"], (chart["left"] + chart["right"]) / 2)
    assert best["x"] < best["high"] < chart["right"]


def test_runs_that_diverged_are_marked_and_leave_a_gap() -> None:
    measured, verdicts = swept(lost=True)
    page = Page(sweep_page(measured, verdicts))  # type: ignore[arg-type]
    assert len([each for _, each in page.elements if each.get("class") == "lost"]) == 1
    lines = [each["d"] for _, each in page.elements if each.get("class", "").startswith("line")]
    assert [len(re.findall("[ML]", path)) for path in lines] == [6, 6, 5]


def test_scales_at_other_widths_follow_their_exponents() -> None:
    page = Page(plan_page(scales()))
    cells = [each["data-over-width"] for tag, each in page.elements if tag == "span" and "data-over-width" in each]
    assert [float(each) for each in cells] == [-0.5, -1.0, 1.0, -1.0, -1.0]
    (slider,) = [each for _, each in page.elements if "data-size" in each]
    sizes = [int(size) for size in slider["data-sizes"].split(",")]
    assert (slider["data-base"], sizes[int(slider["value"])]) == ("64", 256)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.001, 10.0, ["0.001", "0.01", "0.1", "1", "10"]),
        (0.15, 0.9, ["0.2", "0.5"]),
        (1e-9, 1e-3, ["1e-9", "1e-8", "1e-7", "1e-6", "1e-5", "1e-4", "0.001"]),
    ],
)
def test_ticks_of_a_logarithmic_axis(low: float, high: float, ticks: list[str]) -> None:
    assert [text for _, text in powers_of_ten(low, high)] == ticks


def test_ticks_of_a_linear_axis() -> None:
    assert [text for _, text in even(-0.1, 1.05)] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
