"""The formats that other tools read, held against those tools' own schemas and rules."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema

from muaudit.findings.model import Answered, Report, SourceEdit, SourceFix, Unanalysed, Violation
from muaudit.report.listing import Failure, Run
from muaudit.report.render import FORMATS, Look, render_run

SCHEMAS = Path(__file__).parent / "schemas"
SOURCE = """import torch

class Net(torch.nn.Module):
    def forward(self, x):
        return self.head(x) * 8, 100
"""


def violation(rule: str, name: str, severity: Any, **more: Any) -> Violation:
    fields: dict[str, Any] = {
        "message": f"{name} | is <off> by [n], 50% *more*", "file": None, "line": None, "tensors": (), "found": "n^0",
        "expected": "n^-1", "fix": "write 1 / m", "consequence": "it grows", "found_exponent": 0.0,
        "expected_exponent": -1.0, **more,
    }  # fmt: skip
    return Violation(rule, name, severity, **fields)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    (tmp_path / ".git").mkdir()
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    file = tmp_path / "src" / "my net.py"
    file.write_text(SOURCE)
    fix = SourceFix("scale by 1/m", (SourceEdit(str(file), 5, 15, 5, 27, "self.head(x) / m"),), verified=True)
    blamed = [
        violation("MUP301", "hidden-lr", "advice", file=str(file), line=5, tensors=("h.0.w", "h.1.w"), pattern="h.*.w"),
        violation("MUP202", "readout-multiplier-missing", "error", file=str(file), line=5, tensors=("head.weight",),
                  source_fix=fix),
        violation("MUP201", "attention-scale", "error", file="/opt/site-packages/lib/model.py", line=7, module="attn",
                  found_exponent=1.0),
        violation("MUP201", "attention-scale", "warning", module="attn"),
    ]  # fmt: skip
    report = Report(
        version="0.1.0", target="Net(width)", describe="Net(width), width 64 → 128", width_name="width",
        probes=(64, 128), optimizer="adamw", optimizer_source="default", profile="tp5", tensors=(), activations=(),
        verdict="mixed", violations=tuple(blamed), unanalysed=(Unanalysed("odd\x00 op", str(file), 4, "no rule"),),
        path=str(file), class_file=str(file), class_line=3,
        answered=(Answered(violation("MUP101", "hidden-init", "error"), "source", "frozen <features>"),),
    )  # fmt: skip
    clean = replace(report, name="clean", violations=(), unanalysed=(), answered=(), verdict="mup")
    return Run((report, clean), tmp_path, (Failure("gone", "no such file: gone.py\ndid you mean x?"),))


def sarif(run: Run) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(render_run(run, "sarif", Look()))
    return log


def test_sarif_is_valid_against_the_official_schema(run: Run) -> None:
    schema = json.loads((SCHEMAS / "sarif-schema-2.1.0.json").read_text())
    jsonschema.Draft7Validator(schema).validate(sarif(run))
    jsonschema.Draft7Validator(schema).validate(sarif(Run((), run.root)))


def test_sarif_says_what_code_scanning_reads(run: Run) -> None:
    (one,) = sarif(run)["runs"]
    rules = one["tool"]["driver"]["rules"]
    results = one["results"]
    for result in results:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert all("## Fix" in rule["help"]["markdown"] and rule["shortDescription"]["text"] for rule in rules)
    assert [result["level"] for result in results] == ["error", "error", "warning", "note", "note", "error"]
    places = [result["locations"][0]["physicalLocation"] for result in results]
    assert {place["artifactLocation"]["uri"] for place in places} == {"src/my%20net.py"}
    head = next(place for place, result in zip(places, results, strict=True) if result["ruleId"] == "MUP202")
    assert head["region"] == {"startLine": 5, "startColumn": 9, "endLine": 5, "endColumn": 37}
    assert one["invocations"][0]["executionSuccessful"] is False


def test_sarif_fixes_apply(run: Run) -> None:
    (fix,) = [result["fixes"][0] for result in sarif(run)["runs"][0]["results"] if "fixes" in result]
    (change,) = fix["artifactChanges"]
    (replacement,) = change["replacements"]
    region, lines = replacement["deletedRegion"], SOURCE.splitlines()
    deleted = lines[region["startLine"] - 1][region["startColumn"] - 1 : region["endColumn"] - 1]
    assert deleted == "self.head(x)"
    assert replacement["insertedContent"]["text"] == "self.head(x) / m"


def test_answered_findings_are_suppressed_in_sarif_and_absent_elsewhere(run: Run) -> None:
    suppressed = [result for result in sarif(run)["runs"][0]["results"] if "suppressions" in result]
    assert [result["ruleId"] for result in suppressed] == ["MUP101"]
    assert suppressed[0]["suppressions"] == [{"kind": "inSource", "justification": "frozen <features>"}]
    for style in ("github", "gitlab", "junit", "jsonl"):
        assert "MUP101" not in render_run(run, style, Look())


def test_fingerprints_are_unique_and_follow_no_line(run: Run) -> None:
    def prints(run: Run) -> list[str]:
        return [result["partialFingerprints"]["muaudit/v1"] for result in sarif(run)["runs"][0]["results"]]

    report = run.reports[0]
    moved = replace(report, violations=tuple(replace(v, line=4, message="other") for v in report.violations))
    assert len(set(prints(run))) == len(prints(run)) == 6
    assert prints(replace(run, reports=(moved, run.reports[1]))) == prints(run)
    assert len({issue["fingerprint"] for issue in json.loads(render_run(run, "gitlab", Look()))}) == 5


def test_junit_is_valid_and_counts_what_fails(run: Run) -> None:
    text = render_run(run, "junit", Look())
    xmlschema.XMLSchema(str(SCHEMAS / "junit-10.xsd")).validate(text.encode())
    suites = {suite.get("name"): suite for suite in ElementTree.fromstring(text.encode())}
    blamed = suites["Net(width)"]
    assert {key: blamed.get(key) for key in ("tests", "failures", "skipped")} == {
        "tests": "5", "failures": "2", "skipped": "1",
    }  # fmt: skip
    assert [case.get("name") for case in suites["clean"]] == ["parametrization"]
    assert suites["gone"].get("errors") == "1"
    stricter = replace(run, strict=True, fail_on="warning")
    strictly = ElementTree.fromstring(render_run(stricter, "junit", Look()).encode())
    assert strictly.get("failures") == "4"


def test_github_annotations_are_escaped_and_worst_first(run: Run) -> None:
    lines = render_run(run, "github", Look()).splitlines()
    assert [re.match(r"::(\w+)", line)[1] for line in lines] == [  # type: ignore[index]
        "error", "error", "error", "warning", "notice", "notice",
    ]  # fmt: skip
    assert lines[0].startswith("::error title=muaudit%3A gone::no such file: gone.py%0Adid you mean")
    assert "file=src/my net.py,line=5,endLine=5,title=MUP202 readout-multiplier-missing::" in lines[2]
    assert "50%25 *more*%0Ait grows%0Afix: write 1 / m" in lines[2]


def test_a_finding_outside_the_repository_points_at_the_model_and_says_where_it_is(run: Run) -> None:
    line = next(line for line in render_run(run, "github", Look()).splitlines() if "MUP201" in line)
    assert "file=src/my net.py,line=3," in line
    assert "(at /opt/site-packages/lib/model.py:7)" in line


def test_gitlab_has_every_field(run: Run) -> None:
    for issue in json.loads(render_run(run, "gitlab", Look())):
        assert set(issue) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert issue["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert issue["location"]["path"] == "src/my net.py"
        assert issue["location"]["lines"]["begin"] >= 1


def test_jsonl_is_one_object_a_line(run: Run) -> None:
    lines = [json.loads(line) for line in render_run(run, "jsonl", Look()).splitlines()]
    assert [line["type"] for line in lines] == ["finding"] * 5 + ["failure"] + ["summary"] * 2
    assert lines[-2]["errors"] == 2


def test_markdown_shows_text_as_it_is(run: Run) -> None:
    from markdown_it import MarkdownIt

    html = MarkdownIt("gfm-like", {"linkify": False}).render(render_run(run, "markdown", Look()))
    cells = re.findall(r"<td>(.*?)</td>", html)
    assert cells.count("readout-multiplier-missing | is &lt;off&gt; by [n], 50% *more*") == 1
    assert "<em>" not in html


@pytest.mark.parametrize("style", FORMATS)
def test_every_format_shows_every_rule_that_was_broken(run: Run, style: str) -> None:
    text = render_run(run, style, Look())
    assert all(code in text for code in ("MUP301", "MUP202", "MUP201", "MUP901"))


def test_statistics_count_and_quiet_is_quiet(run: Run) -> None:
    rows = render_run(run, "rich", Look(statistics=True)).splitlines()
    assert rows[0].split() == ["findings", "tensors", "severity", "rule", "name"]
    assert ["1", "2", "advice", "MUP301", "hidden-lr"] in [row.split() for row in rows]
    assert len(rows) == 6
    assert render_run(replace(run, reports=run.reports[1:]), "rich", Look(quiet=True)) == ""
