"""`muaudit report`: all parts on one page, and what could not be done in its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from program import app
from test_html_report import Page

FIXTURES = Path(__file__).parents[1] / "fixtures"


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as stop:
        app(["report", *args], prog_name="muaudit")
    return stop.value.code if isinstance(stop.value.code, int) else 0


def test_audit_plan_and_both_checks_stand_on_one_page(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert run(str(FIXTURES / "mlp/sp.py"), "--out", str(out), "--widths", "32,64", "--steps", "1", "--seeds", "2") == 1
    page = Page(out.read_text(encoding="utf-8"))
    sections = [each["id"] for tag, each in page.elements if tag == "section"]
    assert sections == ["target-1", "plan", "check-1", "check-2"]
    links = {each["href"] for tag, each in page.elements if tag == "a"}
    assert {f"#{name}" for name in sections} <= links
    ids = [each["id"] for _, each in page.elements if "id" in each]
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_what_cannot_be_done_is_said_and_the_rest_is_there(tmp_path: Path) -> None:
    """A width that is no multiple of the number of heads cannot be built, so nothing is measured there."""
    out = tmp_path / "report.html"
    gpt = str(FIXTURES / "gpt/sp.py")
    assert run(gpt, "--out", str(out), "--widths", "61,63", "--steps", "1", "--seeds", "1") == 1
    page = Page(out.read_text(encoding="utf-8"))
    sections = [each["id"] for tag, each in page.elements if tag == "section"]
    assert sections[:2] == ["target-1", "plan"]
    assert "no-check" in sections


def test_no_target_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    assert run(str(tmp_path / "absent.py"), "--out", str(out)) == 2
    assert not out.exists()
    assert run(str(FIXTURES / "mlp/sp.py"), "--out", str(out), "--lr", "2^-4..2^-2") == 2
    assert "add --sweep" in capsys.readouterr().err


def test_a_sweep_leaves_nothing_but_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from muaudit.cli import report
    from muaudit.sweep.sweep_request import SweepRequest

    asked: list[SweepRequest] = []
    monkeypatch.setattr(report._Parts, "transfer", lambda self, request: asked.append(request) or [])
    monkeypatch.setattr(report._Parts, "conversion", lambda self, base_width: [])
    out = str(tmp_path / "report.html")
    assert run(str(FIXTURES / "mlp/sp.py"), "--out", out, "--no-training", "--sweep") == 1
    (request,) = asked
    assert request.results is not None
    assert not request.results.parent.exists()
