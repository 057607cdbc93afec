"""`muaudit draw`: the modules in a picture, closed where nothing is wrong, and names as text."""

from __future__ import annotations

from pathlib import Path

import pytest
from program import app
from test_html_report import report_of

from muaudit.findings.model import ActivationRow, Violation
from muaudit.report.module_picture import draw_modules

pytest.importorskip("matplotlib")
FIXTURES = Path(__file__).parents[1] / "fixtures"


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as stop:
        app(["draw", *args], prog_name="muaudit")
    return stop.value.code if isinstance(stop.value.code, int) else 0


def row(module: str, size: float = 0.0) -> ActivationRow:
    return ActivationRow(module, module, True, None, None, size, size, size, 0.0)


def test_a_model_is_drawn_in_every_format(tmp_path: Path) -> None:
    target = str(FIXTURES / "mlp/sp.py")
    for suffix in ("svg", "png", "pdf"):
        assert run(target, "--out", str(tmp_path / f"model.{suffix}")) == 0
    drawn = (tmp_path / "model.svg").read_text(encoding="utf-8")
    for text in ("hidden.*", "MUP301", "readout", "MUP202", "grows with the width"):
        assert text in drawn


def test_what_is_wrong_is_open_and_the_rest_is_folded(tmp_path: Path) -> None:
    bad = Violation("MUP301", "hidden-lr", "error", "m", None, None, (), "", "", "", module="bad.d")
    rows = [row(f"{outer}.{inner}") for outer in ("bad", "right") for inner in "abcd"] + [row("bad"), row("right")]
    report = report_of(activations=tuple(rows), violations=(bad,))
    for everything, count in ((False, 1), (True, 2)):
        path = tmp_path / f"{everything}.svg"
        draw_modules(report, path, everything)
        text = path.read_text(encoding="utf-8")
        assert text.count(">a<") == count
        assert ("(4 inside)" in text) is not everything
        assert text.count(">MUP301<") == 1


def test_names_are_text(tmp_path: Path) -> None:
    path = tmp_path / "model.svg"
    draw_modules(report_of(target="<script>$x$</script>", activations=(row("$\\frac{a}$<b>"),)), path)
    text = path.read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "$\\frac{a}$&lt;b&gt;" in text


@pytest.mark.parametrize(
    ("out", "message"), [("a.gif", "--out writes .png"), ("nowhere/a.svg", "cannot write nowhere")]
)
def test_bad_files(out: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(FIXTURES / "mlp/sp.py"), "--out", out) == 2
    assert message in capsys.readouterr().err
