"""The pages in a browser: every control does what it says, nothing runs over the edge, and axe finds nothing.

Needs Chromium, playwright and axe-playwright-python (`pip install playwright axe-playwright-python`); skipped without.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from test_html_charts import activation, measurement, pages, scales, swept

from muaudit.audit import audit
from muaudit.audit.over_depth import audit_over_depth
from muaudit.page.html_document import Section, framed, whole_page
from muaudit.plan.plan_page import Beside, plan_section
from muaudit.report.html import audit_sections
from muaudit.report.listing import Run
from muaudit.sweep.sweep_page import sweep_section
from muaudit.targets import resolve
from muaudit.training.coord_check_page import check_sections
from muaudit.training.verdict import judge

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything on one page: audits over width and depth, a plan, a coordinate check, a sweep."""
    target = resolve("fixtures/gpt/sp.py")
    audits = audit_sections(Run((audit(target), audit_over_depth(target)), Path.cwd()))
    run = measurement(activation("a", 0.0), activation("b", 0.5), activation("ln_f", -1.0, multiplier=1.0))
    measured, verdicts = swept(lost=True)
    parts: list[Section] = [
        *audits, plan_section(scales(), beside=Beside("no errors", "good", ("plan = 1",))),
        *check_sections([(run, judge(run))]), sweep_section(measured, verdicts),  # type: ignore[arg-type]
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(whole_page("everything", parts), encoding="utf-8")
    return path


def opened(browser: Any, path: Path, width: int = 1000, scheme: str = "light", **more: Any) -> Any:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
    page.trouble = []
    page.on("pageerror", lambda error: page.trouble.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith("file:") else page.trouble.append(request.url))
    page.goto(f"file://{path}")
    if "java_script_enabled" not in more:
        page.wait_for_function("[...document.querySelectorAll('.plot')].every(each => each.matches('.drawn'))")
    return page


LINE = """(box, line) => {  // where the middle between the first two points of a line is, on the screen
  const trace = box.data.find(each => each.meta.of === "curve" && each.meta.lines.includes(line));
  const from = trace.meta.lines.indexOf(line) * trace.x.length / trace.meta.lines.length;
  const {xaxis, yaxis} = box._fullLayout, {left, top} = box.getBoundingClientRect();
  const middle = (axis, values) => axis._offset + (axis.d2p(values[from]) + axis.d2p(values[from + 1])) / 2;
  return [left + middle(xaxis, trace.x), top + middle(yaxis, trace.y)];
}"""


def on_line(page: Any, chart: Any, line: int) -> tuple[float, float]:
    """Where the pointer is on a line, far from its points."""
    chart.scroll_into_view_if_needed()
    x, y = chart.evaluate(LINE, line)
    page.mouse.move(x, y)
    return x, y


def drawn(chart: Any, line: int) -> list[float | None]:
    """The sizes that a line is drawn through."""
    return chart.evaluate("""(box, line) => {
      const trace = box.data.find(each => each.meta.of === "curve" && each.meta.lines.includes(line));
      const many = trace.x.length / trace.meta.lines.length, from = trace.meta.lines.indexOf(line) * many;
      return trace.y.slice(from, from + many);
    }""", line)  # type: ignore[no-any-return]  # fmt: skip


def label(page: Any) -> str:
    """What stands beside the pointer."""
    page.wait_for_selector(".hoverlayer .hovertext")
    return page.locator(".hoverlayer .hovertext").text_content()  # type: ignore[no-any-return]


@pytest.mark.parametrize("width", [390, 1000, 1600])
def test_nothing_runs_over_the_edge(browser: Any, document: Path, width: int) -> None:
    page = opened(browser, document, width)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.trouble == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_accessibility_error(browser: Any, document: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(opened(browser, document, scheme=scheme))
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found.response["violations"]] == []


def test_the_axis_is_switched_and_a_link_shows_the_one_that_it_leads_to(browser: Any, document: Path) -> None:
    page = opened(browser, document)
    seen = page.locator(".axes > .target:visible")
    assert seen.evaluate_all("all => all.map(each => each.id)") == ["target-1"]
    page.locator(".axes input").nth(1).check()
    assert seen.evaluate_all("all => all.map(each => each.id)") == ["target-2"]
    assert "n_layer 2 → 4" in seen.inner_text()
    page.evaluate("location.hash = '#target-1-finding-1'")
    page.wait_for_selector("#target-1-finding-1", state="visible")
    assert page.locator(".axes input").first.is_checked()
    page.emulate_media(media="print")
    assert page.locator(".axes > .target:visible").count() == 2


def test_the_model_opens_and_closes_and_pins_lead_to_findings(browser: Any, document: Path) -> None:
    page = opened(browser, document)
    page.click("[data-close]")
    assert page.locator("#target-1 .flow details[open]").count() == 0
    page.click("[data-open]")
    assert page.locator("#target-1 .flow details:not([open])").count() == 0
    pin = page.locator(".pin").first
    pin.click()
    assert page.evaluate("location.hash") == pin.get_attribute("href")


def test_the_graph_is_made_larger_and_smaller_and_its_pins_lead_to_findings(browser: Any, document: Path) -> None:
    page = opened(browser, document, width=390)
    part = page.locator("#target-1")
    graph = part.locator(".graph svg")
    wide = graph.bounding_box()["width"]
    sizes = []
    for times in ("1.25", "0.8", "0.8", "0"):
        part.locator(f'[data-zoom="{times}"]').click()
        sizes.append(graph.bounding_box()["width"])
    assert sizes[:3] == pytest.approx([1.25 * wide, wide, 0.8 * wide], rel=1e-3)
    assert sizes[3] <= part.locator(".graph").bounding_box()["width"]
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    pin = part.locator(".graph .pinned").first
    pin.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == pin.get_attribute("href")


def test_the_table_of_tensors_is_filtered_sorted_and_read_at_other_widths(browser: Any, document: Path) -> None:
    page = opened(browser, document)
    audit_ = page.locator("#target-1")
    audit_.locator("[data-filter]").fill("c_attn.weight")
    assert audit_.locator("tbody tr:visible").count() == 1
    rate = audit_.locator("tbody tr:visible [data-lr]")
    before = float(rate.inner_text())
    audit_.locator("[data-width]").fill("3")
    after, exponent = float(rate.inner_text()), float(rate.get_attribute("data-exponent"))
    assert after == pytest.approx(before * 8**exponent, rel=1e-2)
    audit_.locator("[data-filter]").fill("")
    audit_.locator("[data-wrong]").check()
    assert 0 < audit_.locator("tbody tr:visible").count() < audit_.locator("tbody tr").count()
    audit_.locator("thead button").nth(3).click()
    values = audit_.locator("tbody td:nth-child(4)[data-value]").evaluate_all("all => all.map(c => +c.dataset.value)")
    assert values == sorted(values)


def test_a_plan_is_read_at_another_width_and_rate(browser: Any, document: Path) -> None:
    """w of tests/test_html_charts.py: init m^-1/2, lr m^-1, with 64 as the base."""
    page = opened(browser, document)
    plan = page.locator("#plan")
    plan.locator("[data-size]").fill("4")  # 64 · 2^4
    plan.locator("[data-tuned]").fill("0.032")
    assert plan.locator("output").inner_text() == "1024"
    assert plan.locator("tbody [data-over-width]").all_inner_texts() == ["0.25", "0.0625", "16", "0.0625", "0.002"]


def test_a_coordinate_check_has_steps_raw_values_and_lines_by_name(browser: Any, document: Path) -> None:
    """ln_f is of size n^-1 by design: flat, and with that factor half the size a doubling; 1.005 is of two seeds."""
    page = opened(browser, document)
    check = page.locator("#check-1")
    chart = check.locator(".chart")
    assert drawn(chart, 2)[:3] == pytest.approx([1.005] * 3, rel=1e-3)
    check.locator("[data-steps]").fill("0")
    assert check.locator("[data-step-words]").inner_text() == "value at init"
    check.locator("[data-raw]").check()
    assert drawn(chart, 2)[:3] == pytest.approx([1.005, 0.5025, 0.25125], rel=1e-3)
    check.locator("[data-pick='1']").click()
    assert "b: fail" in check.locator(".told").inner_text()
    faded = (
        "box => box.data.filter(each => each.meta.of === 'curve' && !each.meta.lines.includes(1)).map(e => e.opacity)"
    )
    assert max(chart.evaluate(faded)) < 0.2
    check.locator("[data-all]").click()
    assert check.locator("[aria-pressed='true']").count() == 0
    assert min(chart.evaluate(faded)) > 0.2
    on_line(page, chart, 1)
    assert re.match(r"bfail.*Net 64: 1", label(page))


def test_every_numbered_line_has_its_number_beside_it_at_every_step(browser: Any, tmp_path: Path) -> None:
    run = measurement(*(activation(f"h.{place}", 0.3 + 0.01 * place) for place in range(9)))
    path = tmp_path / "check.html"
    path.write_text(whole_page("check", check_sections([(run, judge(run))])), encoding="utf-8")
    page = opened(browser, path)
    for step in ("2", "0", "1"):
        page.locator("[data-steps]").fill(step)
        boxes = page.locator(".chart .textpoint text").evaluate_all(
            "all => all.map(e => [e.textContent, e.getBoundingClientRect().top, e.getBoundingClientRect().height])"
        )
        assert sorted(text for text, _, _ in boxes) == list("1234567")
        tops = sorted(top for _, top, _ in boxes)
        assert min(below - above for above, below in pairwise(tops)) > 0.9 * boxes[0][2]


def test_predictions_are_switched_on_and_a_click_on_a_line_leaves_it_alone(browser: Any, tmp_path: Path) -> None:
    """A line predicted as n^1/2: twice the size from 64 to 256, on an axis in powers of ten."""
    run = measurement(activation("a", 0.5, predicted_init=0.5, predicted_update=0.5), activation("b", -0.5))
    path = tmp_path / "check.html"
    path.write_text(whole_page("check", check_sections([(run, judge(run))])), encoding="utf-8")
    page = opened(browser, path)
    chart = page.locator(".chart")
    dashed = ".shapelayer path[style*='stroke-dasharray']"
    assert chart.locator(dashed).count() == 0
    page.locator("[data-guesses]").check()
    (guess,) = chart.evaluate("box => box.layout.shapes.map(each => each.path)")
    (x, y), (far, end) = [map(float, each.split(",")) for each in guess[1:].split("L")]
    assert (x, far, end / y) == pytest.approx((64, 256, 2.0), rel=1e-3)
    assert chart.locator(dashed).count() == 1
    page.mouse.click(*on_line(page, chart, 1))
    assert page.locator("[data-pick='1']").get_attribute("aria-pressed") == "true"
    page.mouse.click(*on_line(page, chart, 1))
    assert page.locator("[data-pick='1']").get_attribute("aria-pressed") == "false"


def test_charts_follow_the_colour_scheme_and_print_in_light(browser: Any, document: Path) -> None:
    page = opened(browser, document, scheme="dark")
    chart = page.locator("#check-1 .chart")
    first = """({data: [first], _fullLayout: {paper_bgcolor, font}}) => [
      first.line.color === first.meta.colors[0], paper_bgcolor, font.color]"""
    assert chart.evaluate(first) == [False, "#14171c", "#e7eaf0"]
    page.emulate_media(color_scheme="light")
    assert chart.evaluate(first) == [True, "#ffffff", "#1b1f27"]
    page.emulate_media(color_scheme="dark", media="print")
    assert chart.evaluate(first) == [True, "#ffffff", "#1b1f27"]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert chart.evaluate("box => box._fullLayout.width") < 700
    page.emulate_media(color_scheme="dark", media="screen")
    assert chart.evaluate(first) == [False, "#14171c", "#e7eaf0"]


def test_a_notebook_shows_the_charts_in_its_frame(browser: Any, document: Path, tmp_path: Path) -> None:
    path = tmp_path / "cell.html"
    path.write_text(framed(document.read_text(encoding="utf-8"), "report"), encoding="utf-8")
    inside = opened(browser, path).frame_locator("iframe")
    inside.locator("#check-1 .plot.drawn .js-line").first.wait_for(state="attached")
    inside.locator("#sweep .drawn .js-line").first.wait_for(state="attached")


def test_without_scripts_a_sentence_stands_for_the_chart_and_the_numbers_are_there(
    browser: Any, document: Path
) -> None:
    page = opened(browser, document, java_script_enabled=False)
    assert page.locator(".chart").first.inner_text().startswith("The script of this page draws a chart here.")
    assert page.locator("#check-1 tbody tr").count() == 3
    page.locator("#sweep details summary").click()
    assert page.locator("#sweep details td").first.inner_text() == "1.9"


def test_the_picture_is_saved_and_the_axes_are_set_back_from_the_keyboard(browser: Any, document: Path) -> None:
    page = opened(browser, document)
    chart = page.locator("#sweep .chart")
    chart.scroll_into_view_if_needed()
    before = chart.evaluate("box => box._fullLayout.xaxis.range")
    box = chart.locator(".nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 200, steps=3)
    page.mouse.up()
    page.wait_for_function(
        "range => document.querySelector('#sweep .chart')._fullLayout.xaxis.range[0] > range[0]", arg=before
    )
    buttons = chart.locator(".modebar-btn")
    assert buttons.evaluate_all("all => all.map(each => each.ariaLabel)") == ["Download plot as a PNG", "Reset axes"]
    buttons.nth(1).focus()
    page.keyboard.press("Enter")
    assert chart.evaluate("box => box._fullLayout.xaxis.range") == pytest.approx(before)
    with page.expect_download() as download:
        buttons.nth(0).focus()
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "muaudit.png"
    assert [each for each in page.trouble if not each.startswith(("blob:", "data:"))] == []


def test_hundreds_of_lines_are_few_elements_of_a_chart(browser: Any, tmp_path: Path) -> None:
    """A browser draws a trace in about 2 ms, and hundreds within the tenth of a second that a slider may take."""
    lines = [activation(f"h.{place}", 0.001 * (place % 50)) for place in range(300)]
    run = measurement(*lines)
    path = tmp_path / "check.html"
    path.write_text(whole_page("check", check_sections([(run, judge(run))])), encoding="utf-8")
    chart = opened(browser, path).locator(".chart")
    assert chart.evaluate("box => box.data.flatMap(e => e.meta.of === 'curve' ? e.meta.lines : []).length") > 40
    assert chart.evaluate("box => box.data.length") < 40


def test_findings_and_derivations_open_and_all_tables_sort_both_ways(browser: Any, document: Path) -> None:
    page = opened(browser, document)
    below = page.locator("#target-1 .finding details").first
    assert below.get_attribute("open") is None
    below.locator("summary").click()
    assert below.get_attribute("open") is not None
    plan = page.locator("#plan")
    plan.locator("[data-filter]").fill("no such tensor")
    assert plan.locator("tbody tr:visible").count() == 0
    plan.locator("[data-filter]").fill("")
    for part in ("#plan", "#check-1", "#target-1"):
        head = page.locator(f"{part} thead button").first
        names = []
        for _ in range(2):
            head.click()
            names.append(page.locator(f"{part} tbody th").evaluate_all("all => all.map(c => c.textContent.trim())"))
        assert names[0] == names[1][::-1]


def test_a_width_of_a_sweep_is_left_alone(browser: Any, document: Path) -> None:
    page = opened(browser, document)
    sweep = page.locator("#sweep")
    sweep.locator("[data-pick='2']").first.click()
    assert "width 256" in sweep.locator(".told").first.inner_text()
    sweep.locator(".legendtoggle").nth(1).click()
    page.wait_for_function("document.querySelector('#sweep .told').textContent.includes('width 128')")
    assert sweep.locator("[aria-pressed='true']").get_attribute("data-pick") == "1"
    on_line(page, sweep.locator(".chart"), 1)
    assert "learning rate 2^-7: 1.3 (1.299 to 1.301 over 3 seeds)" in label(page) or "learning rate 2^-8" in label(page)


def test_a_hostile_model_is_text(browser: Any, tmp_path: Path) -> None:
    from test_html_charts import EVIL

    evil = EVIL + "<b>%{x}</b><a href='https://example.org'>"
    for kind, text in pages(evil).items():
        path = tmp_path / f"{kind}.html"
        path.write_text(text, encoding="utf-8")
        page = opened(browser, path)
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        page.mouse.move(200, 200)
        assert "<script>alert(1)</script>" in page.locator("h2").first.inner_text()
        if kind == "check":
            on_line(page, page.locator(".chart"), 0)
            assert "%{x}</b>" in label(page).replace("\n", "")
            assert page.locator(".chart a").count() == 0
        assert page.trouble == []
