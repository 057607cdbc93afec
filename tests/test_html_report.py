"""The page of `--format html`: what it says, that it needs nothing else, and that nothing of the user's runs in it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from muaudit.audit import audit
from muaudit.findings.model import ActivationRow, Report, TensorRow, Violation
from muaudit.report.html import render_html
from muaudit.report.listing import Failure, Run
from muaudit.report.module_map import module_map, state_of
from muaudit.targets import resolve

Attributes = dict[str, str]
ALONE = {"meta", "input", "br"}  # elements without an end


class Page(HTMLParser):
    """All elements with their attributes, and the text by the classes of the element that it stands in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, Attributes]] = []
        self.open: list[str] = []
        self.words: list[tuple[str, str]] = []  # element, text
        self.data: list[tuple[str, str]] = []  # the type of a script, what stands in it
        self.feed(text.replace("<wbr>", ""))  # where a name may be broken
        assert not self.open, "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.data.append((self.elements[-1][1].get("type", ""), data))
        self.words.append((self.open[-1] if self.open else "", data))

    def text(self, element: str) -> str:
        return " ".join(data for tag, data in self.words if tag == element)


def report_of(**more: object) -> Report:
    fields: dict[str, object] = {
        "version": "0.1.0", "target": "Net", "describe": "Net, width 64 → 128", "width_name": "width",
        "probes": (64, 128), "optimizer": "adam", "optimizer_source": "default", "profile": "tp5", "tensors": (),
        "activations": (), "verdict": "mixed", "violations": (), "unanalysed": (), **more,
    }  # fmt: skip
    return Report(**fields)  # type: ignore[arg-type]


def page_of(report: Report, *failures: Failure) -> Page:
    return Page(render_html(Run((report,), Path.cwd(), failures)))


@pytest.fixture(scope="module")
def gpt() -> Report:
    return audit(resolve("fixtures/gpt/sp.py"))


def test_the_page_needs_no_network_and_its_links_lead_somewhere(gpt: Report) -> None:
    page = page_of(gpt)
    ids = {each["id"] for _, each in page.elements if "id" in each}
    links = [each["href"] for tag, each in page.elements if tag == "a"]
    assert links
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    assert not [each for _, each in page.elements if "src" in each]
    assert [tag for tag, _ in page.elements if tag in ("link", "iframe", "object", "base")] == []


def test_findings_stand_with_their_source_and_are_pinned_in_the_model(gpt: Report) -> None:
    page = page_of(gpt)
    assert "logits = self.lm_head(x)" in page.text("span")
    pins = [each["href"] for tag, each in page.elements if tag == "a" and "pin" in each.get("class", "")]
    assert {f"#target-1-finding-{number}" for number in range(1, len(gpt.violations) + 1)} == set(pins)


def test_only_the_columns_that_a_finding_is_about_are_marked(gpt: Report) -> None:
    """TP5 Table 3 under Adam: hidden weights are wrong in init and learning rate, norms and tables are not."""
    page = page_of(gpt)
    marked = sum(each.get("class") == "bad" for tag, each in page.elements if tag == "td")
    hidden = {row.name.replace(".0.", ".*.").replace(".1.", ".*.") for row in gpt.tensors if row.roles == ("hidden",)}
    assert marked == 2 * len(hidden)


def test_rates_at_other_widths_follow_their_exponent() -> None:
    row = TensorRow("w", (64, 64), "matrix", ("hidden",), ("inf", "inf"), -0.5, -1.0, 0.0, lr=0.01)
    (cell,) = [each for _, each in page_of(report_of(tensors=(row,))).elements if "data-lr" in each]
    assert (float(cell["data-lr"]), float(cell["data-exponent"])) == (0.01, -1.0)


def test_the_audits_of_one_target_along_two_axes_are_one_part_with_a_switch() -> None:
    row = TensorRow("w", (64, 64), "scalar", ("scalar",), ("fin", "fin"), -0.5, 0.0, 0.0)
    over_depth = report_of(axis="depth", width_name="n_layer", probes=(2, 4), tensors=(row,))
    other = report_of(target="Other")
    page = Page(render_html(Run((report_of(), over_depth, other, report_of()), Path.cwd())))
    buttons = [each["value"] for _, each in page.elements if each.get("type") == "radio"]
    assert buttons == ["target-1", "target-2"]
    links = [each["href"] for tag, each in page.elements if tag == "a"]
    assert links == ["#target-1-axes", "#target-3", "#target-4"]
    assert "L^-1/2" in page.text("td")
    assert "n^" not in page.text("td")


def test_what_comes_from_user_code_is_text() -> None:
    evil = "</style><script>alert(1)</script><img src=x onerror=alert(2)>\"' onmouseover=alert(3) {{ 7 * 7 }}"
    names = (evil, "b")
    bad = Violation("MUP301", "hidden-lr", "error", evil, evil, 1, names, evil, evil, evil, evil, evil, module=evil)
    row = TensorRow(evil, (2,), "vector", ("hidden",), ("inf",), 0.0, 0.0, 0.0)
    activation = ActivationRow(evil, evil, True, evil, 1, 0.0, 0.0, 0.0, 0.0)
    report = report_of(target=evil, describe=evil, violations=(bad,), tensors=(row,), activations=(activation,),
                       notes=(evil,), caution=evil, name=evil, optimizer=evil, width_name=evil)  # fmt: skip
    page = page_of(report, Failure(evil, evil))
    assert [tag for tag, _ in page.elements if tag in ("script", "img")] == ["script"]
    assert not [name for _, each in page.elements for name in each if name.startswith("on")]
    assert "alert(1)" not in page.text("script")
    assert "{{ 7 * 7 }}" in page.text("p")


def test_repeated_blocks_are_one_box_with_the_worst_of_them() -> None:
    def row(module: str, size: float, change: float) -> ActivationRow:
        return ActivationRow(module, module, True, None, None, size, change, change, 0.0)

    rows = (row("stem", 0.0, 0.0), row("h.0.up", 0.0, 0.0), row("h.0", 0.0, 0.0), row("h.1.up", 0.5, 1.0),
            row("h.1", 0.0, -0.5), row("head", 0.0, 0.0))  # fmt: skip
    found = module_map(report_of(activations=rows))
    assert list(found.children) == ["stem", "h.*", "head"]
    blocks = found.children["h.*"]
    assert (blocks.count, blocks.state) == (2, "still")
    assert (blocks.children["up"].state, blocks.children["up"].size) == ("grows", 0.5)


@pytest.mark.parametrize(
    ("size", "change", "ideal", "state"),
    [
        (0.0, 0.0, 0.0, "flat"),
        (0.5, 0.0, 0.0, "grows"),
        (0.0, 1.0, 0.0, "grows"),
        (0.0, -0.5, 0.0, "still"),
        (-0.5, 0.0, 0.0, "flat"),  # a readout that starts small and learns
        (0.5, 0.5, 0.5, "flat"),  # the size that a constant between two layers gives it in every right model
        (None, 0.0, 0.0, "unknown"),
    ],
)
def test_what_happens_to_an_activation(size: float | None, change: float, ideal: float, state: str) -> None:
    assert state_of(ActivationRow("a", "a", True, None, None, size, change, change, ideal)) == state


def test_a_model_that_is_right_and_one_that_failed_have_a_page() -> None:
    right = report_of(verdict="mup")
    assert "✓ µP: all scales follow the width as they must" in page_of(right).text("p")
    assert "no such file" in Page(render_html(Run((), Path.cwd(), (Failure("x.py", "no such file"),)))).text("pre")
