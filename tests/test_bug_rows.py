"""The catalogue of known mistakes: the right model is clean, the wrong one gets exactly the finding that names it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path

import pytest
from advice import but_for_appendix_d
from bugs.plant import Edit
from bugs.rows import ROWS, Row, right_models
from matrix import some

from muaudit.audit import audit
from muaudit.findings.model import Report, Violation
from muaudit.targets import resolve


def written(row: Row, edits: Iterable[Edit], folder: Path) -> Path:
    """The row's fixture with these edits, as a file."""
    path = folder / "model.py"
    path.write_text(row.source(edits))
    return path


def check(row: Row, path: Path) -> Report:
    return audit(resolve(str(path)), profile=row.profile, target_width=row.target_width)


def findings(report: Report) -> list[Violation]:
    """All but the advice that a readout may start at zero, which right models get."""
    return but_for_appendix_d(report)


def shown(report: Report) -> str:
    lines = [f"{v.rule} {v.severity} {v.tensors} line {v.line}: {v.message}" for v in report.violations]
    return "\n".join([*lines, *(f"{u.name}: {u.reason}" for u in report.unanalysed)])


def label(row: Row) -> str:
    return f"{row.number}-{row.name}".replace(" ", "-")


@pytest.mark.parametrize("row", right_models(), ids=label)
def test_the_right_model_is_clean(row: Row, tmp_path: Path) -> None:
    report = check(row, written(row, row.right, tmp_path))
    assert not findings(report), shown(report)
    assert not report.unanalysed, shown(report)
    assert (report.verdict, report.exit_code(strict=True)) == ("mup", 0)


@pytest.mark.parametrize("row", some(ROWS, ROWS[::2], label))
def test_the_mistake_is_the_one_finding(row: Row, tmp_path: Path) -> None:
    path = written(row, (*row.right, *row.wrong), tmp_path)
    report = check(row, path)
    assert [v.rule for v in findings(report)] == [row.rule], shown(report)
    (found,) = findings(report)
    assert set(found.tensors) == matching(report, row.tensors), shown(report)
    assert report.exit_code() == int(found.severity == "error")
    if row.line:
        assert found.line is not None
        assert row.line in path.read_text().splitlines()[found.line - 1]
    assert row.found is None or found.found_exponent == pytest.approx(row.found, abs=0.02), found
    assert row.expected is None or found.expected_exponent == pytest.approx(row.expected, abs=0.02), found
    assert row.says in found.message
    assert not report.unanalysed, shown(report)


def matching(report: Report, patterns: tuple[str, ...]) -> set[str]:
    """The parameters that match any of the patterns; every pattern must match one."""
    names = [row.name for row in report.tensors]
    assert all(fnmatch.filter(names, pattern) for pattern in patterns), (patterns, names)
    return {name for pattern in patterns for name in fnmatch.filter(names, pattern)}


def test_standard_parametrization_is_one_verdict(tmp_path: Path) -> None:
    """B18: with the width multiplier left at 1 the model is plain SP: said once, and few findings, not one a tensor."""
    row = Row("B18", "", "gpt/table8", (Edit("return self.n_embd / BASE", "return 1.0"),), "")
    path = written(row, row.wrong, tmp_path)
    report = check(row, path)
    assert report.verdict == "standard"
    errors = [v for v in report.violations if v.severity == "error"]
    assert [v.rule for v in errors] == ["MUP301", "MUP402", "MUP101"], shown(report)


@pytest.mark.parametrize(
    "constant", ["8 / self.head_dim", "32**0.5 / self.head_dim", "1 / self.head_dim", "0.3 * 8 / self.head_dim"]
)
def test_constants_are_judged_by_their_exponent(constant: str, tmp_path: Path) -> None:
    """B32: a scale that only looks wrong is no finding."""
    row = Row("B32", "", "llama/table8", (Edit("(BASE // config.n_heads) ** 0.5 / self.head_dim", constant),), "")
    assert not findings(check(row, written(row, row.wrong, tmp_path)))


DIVIDED = Edit("self.readout(x / self.m)", "self.readout(x) / self.m")


@pytest.mark.parametrize(
    ("fixture", "edit", "rule", "severity", "tensor", "says"),
    [
        # A·C of the bias is m^-1, and A²·C with SGD m^-2; the weights of the readout can shift the logits as well
        ("mlp/table8", DIVIDED, "MUP208", "warning", "readout.bias", "shrink like n^-1:"),
        ("mlp/table8_sgd", DIVIDED, "MUP208", "warning", "readout.bias", "shrink like n^-2:"),
        ("mlp/table8", Edit('[model.readout.bias], "lr": LR}', '[model.readout.bias], "lr": LR / m}'),
         "MUP306", "warning", "readout.bias", "shrink like n^-1:"),
        # nothing else can say how far apart two positions are; what grows is wrong wherever it stands
        ("encdec/table8", Edit("self.relative(", "BASE / self.width * self.relative("), "MUP208", "error",
         "relative.weight", "shrink like n^-1:"),
        ("mlp/table8", Edit("self.readout(x / self.m)", "self.readout(x / self.m**2) * self.m"), "MUP208", "error",
         "readout.bias", "grows like n^1:"),
    ],
)  # fmt: skip
def test_a_readout_bias_that_stops_learning_is_a_warning(
    fixture: str, edit: Edit, rule: str, severity: str, tensor: str, says: str, tmp_path: Path
) -> None:
    row = Row("", "", fixture, (edit,), rule)
    report = check(row, written(row, row.wrong, tmp_path))
    (found,) = findings(report)
    assert (found.rule, found.severity, found.tensors) == (rule, severity, (tensor,)), shown(report)
    assert says in found.consequence
    assert ("head(x / m)" in found.fix) == (found.rule == "MUP208" and severity == "warning")


def test_every_row_of_the_catalogue_is_there() -> None:
    wanted = {f"B{n}" for n in (*range(1, 25), 26, *range(28, 32))} - {"B18"}
    assert {row.number for row in ROWS} == wanted
    assert len({label(row) for row in ROWS}) == len(ROWS)
