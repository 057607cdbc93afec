"""The pages in a browser: every control does what it says, nothing runs over the edge, and axe finds nothing.

Needs Chromium, playwright and axe-playwright-python (`pip install playwright axe-playwright-python`); skipped without.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_html_charts import activation, measurement, pages, scales, swept

from muaudit.audit import audit
from muaudit.audit.over_depth import audit_over_depth
from muaudit.page.html_document import Section, whole_page
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


def opened(browser: Any, path: Path, width: int = 1000, scheme: str = "light") -> Any:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.trouble = []
    page.on("pageerror", lambda error: page.trouble.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith("file:") else page.trouble.append(request.url))
    page.goto(f"file://{path}")
    return page


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
    page = opened(browser, document)
    check = page.locator("#check-1")

    def shown() -> list[tuple[str, str]]:
        frames = check.locator(".frame:not(.off)")
        return [tuple(pair) for pair in frames.evaluate_all("all => all.map(f => [f.dataset.frame, f.dataset.view])")]

    assert shown() == [("2", "divided")]
    check.locator("[data-steps]").fill("0")
    assert shown() == [("0", "divided")]
    assert check.locator("[data-step-words]").inner_text() == "value at init"
    check.locator("[data-raw]").check()
    assert shown() == [("0", "raw")]
    check.locator("[data-pick='1']").click()
    assert check.locator(".curve.picked").count() == check.locator(".frame").count()
    assert "b: fail" in check.locator(".told").inner_text()
    assert (
        float(check.locator(".frame:not(.off) .curve:not(.picked)").first.evaluate("e => getComputedStyle(e).opacity"))
        < 0.2
    )
    check.locator("[data-all]").click()
    assert check.locator(".curve.picked").count() == 0
    line = check.locator(".frame:not(.off) [data-line='0'] .line")
    box = line.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    assert "a: pass" in check.locator(".told").inner_text()
    guess = check.locator(".frame:not(.off) .guess")
    assert guess.count() == 0 or not guess.first.is_visible()


def test_predictions_are_switched_on_and_a_click_on_a_line_leaves_it_alone(browser: Any, tmp_path: Path) -> None:
    run = measurement(activation("a", 0.5, predicted_init=0.5, predicted_update=0.5), activation("b", 0.0))
    path = tmp_path / "check.html"
    path.write_text(whole_page("check", check_sections([(run, judge(run))])), encoding="utf-8")
    page = opened(browser, path)
    guess = page.locator(".frame:not(.off) [data-line='0'] .guess").first
    assert not guess.is_visible()
    page.locator("[data-guesses]").check()
    assert guess.is_visible()
    box = page.locator(".frame:not(.off) [data-line='1'] .line").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    assert page.locator("[data-pick='1']").get_attribute("aria-pressed") == "true"


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


def test_a_hostile_model_is_text(browser: Any, tmp_path: Path) -> None:
    from test_html_charts import EVIL

    for kind, text in pages(EVIL).items():
        path = tmp_path / f"{kind}.html"
        path.write_text(text, encoding="utf-8")
        page = opened(browser, path)
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        page.mouse.move(200, 200)
        assert "<script>alert(1)</script>" in page.locator("h2").first.inner_text()
        assert page.trouble == []
