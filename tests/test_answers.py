"""Findings answered: by configuration, by comments on their lines, by a baseline. Real audits of a small model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from program import app

from muaudit.answers.comments import read_comments
from muaudit.answers.policy import Policy
from muaudit.errors import UserError
from muaudit.rules import RULES

# A perceptron in SP: MUP301 for the hidden weights, MUP202 for the readout, and MUP101 where the init is constant too.
MODEL = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.up = nn.Linear(8, width, bias=False)
        self.mid = nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 4, bias=False)

    def forward(self, x):
        x = torch.tanh(self.up(x))
        x = torch.tanh(self.mid(x))
        return self.head(x)
"""
HEAD, MID, MID_USE = (
    "        return self.head(x)",
    "        self.mid = nn.Linear(",
    "        x = torch.tanh(self.mid(x))",
)

Check = Callable[..., tuple[int, list[dict[str, Any]], str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "net.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def check(project: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Run `check --format jsonl` here: the exit code, the findings, and stderr."""

    def call(*args: str, command: str = "check") -> tuple[int, list[dict[str, Any]], str]:
        flags = ["--format", "jsonl"] if command == "check" else []
        with pytest.raises(SystemExit) as stop:
            app([command, *args, *flags], prog_name="muaudit")
        out, err = capsys.readouterr()
        lines = [json.loads(line) for line in out.splitlines()] if command == "check" else [{"text": out}]
        return int(stop.value.code or 0), lines, err

    return call


def rules(lines: list[dict[str, Any]]) -> list[str]:
    return [line["rule"] for line in lines if line["type"] == "finding"]


def answered(lines: list[dict[str, Any]]) -> int:
    return sum(line["answered"] for line in lines if line["type"] == "summary")


def edit(project: Path, old: str, new: str, file: str = "net.py") -> None:
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))


def test_what_the_model_does_wrong(check: Check) -> None:
    code, lines, _ = check("net.py")
    assert (code, sorted(rules(lines))) == (1, ["MUP202", "MUP301"])


# -- comments ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (HEAD, f"{HEAD}  # muaudit: ignore[MUP202] the readout is frozen"),
        ("        self.head = nn.Linear(", "        # muaudit: ignore[MUP202] frozen\n        self.head = nn.Linear("),
        ("self.head = nn.Linear(width, 4, bias=False)",
         "self.head = nn.Linear(\n            width, 4, bias=False\n"
         "        )  # muaudit: ignore[readout-multiplier-missing] frozen"),
    ],
    ids=["on the operation", "above the definition", "after a definition of several lines"],
)  # fmt: skip
def test_a_comment_answers_the_finding(project: Path, check: Check, old: str, new: str) -> None:
    edit(project, old, new)
    code, lines, _ = check("net.py")
    assert (code, rules(lines), answered(lines)) == (1, ["MUP301"], 1)


def test_a_comment_on_the_class_answers_all_of_it(project: Path, check: Check) -> None:
    edit(
        project,
        "class Net(nn.Module):",
        "class Net(nn.Module):  # muaudit: ignore[MUP2, hidden-lr] a demonstration of SP",
    )
    code, lines, _ = check("net.py", "--fail-on", "advice")
    assert (code, rules(lines), answered(lines)) == (0, [], 2)


def test_a_finding_told_once_for_several_lines_is_answered_line_by_line(project: Path, check: Check) -> None:
    edit(project, "        self.head =", "        self.low = nn.Linear(width, width, bias=False)\n        self.head =")
    edit(project, MID_USE, f"{MID_USE}  # muaudit: ignore[MUP301] frozen\n        x = torch.tanh(self.low(x))")
    _, lines, _ = check("net.py")
    (rest,) = [line for line in lines if line.get("rule") == "MUP301"]
    assert (rest["subjects"], answered(lines)) == (["low.weight"], 1)
    assert "low.weight:" in rest["message"]
    assert "MUP601" not in rules(lines)


def test_a_comment_without_a_reason_or_without_effect_is_a_finding(project: Path, check: Check) -> None:
    edit(project, HEAD, f"{HEAD}  # muaudit: ignore[MUP202, MUP201]")
    _, lines, _ = check("net.py")
    found = {line["rule"]: line for line in lines if line["type"] == "finding"}
    assert set(found) == {"MUP301", "MUP601", "MUP602"}
    assert found["MUP601"]["line"] == found["MUP602"]["line"] == 15
    assert "MUP201" in found["MUP601"]["message"]


def test_a_comment_that_means_nothing_is_a_finding(project: Path, check: Check) -> None:
    edit(project, HEAD, f"{HEAD}  # muaudit: ignore MUP202 frozen")
    edit(project, MID_USE, f"{MID_USE}  # muaudit: ignore[MUP999] what")
    _, lines, _ = check("net.py")
    assert sorted(rules(lines)) == ["MUP202", "MUP301", "MUP603", "MUP603"]


def test_comments_about_what_was_not_looked_at_are_left_alone(project: Path, check: Check) -> None:
    edit(project, HEAD, f"{HEAD}  # muaudit: ignore[MUP202] frozen")
    with (project / "net.py").open("a") as file:
        file.write(
            "\n\nclass Other(nn.Module):\n    def forward(self, x):\n        return x  # muaudit: ignore[MUP1] no\n"
        )
    assert rules(check("net.py:Net", "--select", "MUP3,MUP6")[1]) == ["MUP301"]


def test_a_moved_comment_still_answers_and_a_mended_finding_leaves_it_unused(project: Path, check: Check) -> None:
    edit(project, HEAD, f"{HEAD}  # muaudit: ignore[MUP202] frozen")
    edit(project, "import torch\n", "import torch\n\n# a line\n")
    assert rules(check("net.py")[1]) == ["MUP301"]
    edit(project, "return self.head(x)", "return self.head(x) * (64 / self.head.in_features)")
    assert rules(check("net.py")[1]) == ["MUP301", "MUP601"]


def test_comments_in_strings_are_no_comments(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text('"""# muaudit: ignore[MUP101] in a docstring"""\nx = 1  # MuAudit:ignore[MUP101]: because\n')
    (comment,) = read_comments([str(file)])
    assert (comment.line, comment.rules, comment.reason) == (2, ("MUP101",), "because")
    file.write_text("def broken(:\n")
    assert read_comments([str(file), str(tmp_path / "gone.py")]) == []


# -- configuration -------------------------------------------------------------------------------------------
def test_configured_rules_severities_and_tensors(project: Path, check: Check) -> None:
    (project / "muaudit.yaml").write_text(
        "severities: {readout-multiplier-missing: warning}\n"
        "targets:\n  net: {target: net.py}\n  part:\n    target: net.py\n    ignore: [MUP2]\n"
        "    tensor-ignores: {'mid.*': [MUP301]}\n"
    )
    _, lines, _ = check()
    found = [(line["target"], line["rule"], line["severity"]) for line in lines if line["type"] == "finding"]
    assert sorted(found) == [("net", "MUP202", "warning"), ("net", "MUP301", "error")]
    assert rules(check("part")[1]) == []
    assert check("net", "--ignore", "MUP301")[0] == 0
    assert check("net", "--ignore", "MUP301", "--fail-on", "warning")[0] == 1
    assert check("net", "--ignore", "MUP301", "--fail-on", "warning", "--exit-zero")[0] == 0


@pytest.mark.parametrize(
    ("policy", "reported"),
    [
        (Policy(), {"MUP101", "MUP201", "MUP202"}),
        (Policy(select=("MUP2",)), {"MUP201", "MUP202"}),
        (Policy(select=("MUP2",), extend_select=("MUP101",)), {"MUP101", "MUP201", "MUP202"}),
        (Policy(ignore=("MUP2",), extend_select=("MUP201",)), {"MUP101", "MUP201"}),
        (Policy(select=("MUP201",), ignore=("MUP201",)), set()),
        (Policy(ignore=("ALL",)), set()),
    ],
)
def test_the_longest_selector_decides_and_ignore_wins_a_tie(policy: Policy, reported: set[str]) -> None:
    assert {code for code in ("MUP101", "MUP201", "MUP202") if policy.reports(code)} == reported


def test_a_selector_that_selects_nothing_is_an_error() -> None:
    with pytest.raises(UserError, match=r"no rule is called 'hiden-lr'\ndid you mean hidden-lr"):
        Policy.of({"select": ["hiden-lr"]})
    assert Policy.of({"ignore": [rule.name for rule in RULES]}).ignore == tuple(rule.code for rule in RULES)


# -- the baseline --------------------------------------------------------------------------------------------
BASE = "muaudit-baseline.json"


def test_a_baseline_hides_what_was_there_and_nothing_else(project: Path, check: Check) -> None:
    _, (said,), _ = check("net.py", command="baseline")
    assert said["text"] == f"{BASE}: 2 entries, one for each rule and tensor (2 new, 0 pruned)\n"
    assert check("net.py", "--baseline", BASE)[0] == 0
    edit(project, "super().__init__()", "super().__init__()\n        print('moved')\n")  # every line moves
    code, lines, _ = check("net.py", "--baseline", BASE)
    assert (code, rules(lines), answered(lines)) == (0, [], 2)
    edit(project, "bias=False)\n\n", "bias=False)\n        nn.init.normal_(self.mid.weight, std=0.02)\n\n")
    assert rules(check("net.py", "--baseline", BASE)[1]) == ["MUP101"]


def test_a_finding_that_got_worse_is_new(project: Path, check: Check) -> None:
    edit(project, MID_USE, "        x = torch.tanh(self.mid(x) * self.mid.in_features ** 0.25)")
    check("net.py", command="baseline")
    assert check("net.py", "--baseline", BASE)[0] == 0
    edit(project, "** 0.25", "** 0.5")
    code, lines, _ = check("net.py", "--baseline", BASE)
    assert code == 1
    assert set(rules(lines)) <= {"MUP205", "MUP101", "MUP301"}
    edit(project, "** 0.5", "** 0.125")
    assert check("net.py", "--baseline", BASE)[0] == 0


def test_stale_entries_are_reported_and_pruned(project: Path, check: Check) -> None:
    check("net.py", command="baseline")
    edit(project, "return self.head(x)", "return self.head(x) * (64 / self.head.in_features)")
    code, lines, _ = check("net.py", "--baseline", BASE)
    assert (code, rules(lines)) == (0, ["MUP604"])
    assert "MUP202 for head.weight" in lines[0]["message"]
    assert rules(check("net.py", "--baseline", BASE, "--select", "MUP3,MUP6")[1]) == []  # MUP202 was not looked for
    _, (said,), _ = check("net.py", "--prune", command="baseline")
    assert said["text"] == f"{BASE}: 1 entry, one for each rule and tensor (0 new, 1 pruned)\n"
    code, lines, _ = check("net.py", "--baseline", BASE)
    assert (code, rules(lines)) == (0, [])
    edit(project, " * (64 / self.head.in_features)", "")
    assert rules(check("net.py", "--baseline", BASE)[1]) == ["MUP202"]
    check("net.py", "--prune", command="baseline")
    assert rules(check("net.py", "--baseline", BASE)[1]) == ["MUP202"]  # pruning adds nothing


SPEC = "from net import Net\n\n\ndef build(width):\n    return Net(width)\n\n\ndef batch(width):\n    import torch\n\n    return torch.ones(4, 8)\n"  # noqa: E501


def test_a_renamed_file_keeps_its_entries(project: Path, check: Check) -> None:
    (project / "spec.py").write_text(SPEC)
    check("spec.py", command="baseline")
    (project / "spec.py").rename(project / "renamed.py")
    code, lines, _ = check("renamed.py", "--baseline", BASE)
    assert (code, rules(lines), answered(lines)) == (0, [], 2)
    check("renamed.py", command="baseline")
    targets = {entry["target"] for entry in json.loads((project / BASE).read_text())["entries"]}
    assert targets == {"renamed.py:build(width)"}


def test_a_copied_file_does_not_borrow_the_entries(project: Path, check: Check) -> None:
    (project / "spec.py").write_text(SPEC)
    check("spec.py", command="baseline")
    (project / "copy.py").write_text(SPEC)
    assert sorted(rules(check("copy.py", "--baseline", BASE)[1])) == ["MUP202", "MUP301"]
    check("copy.py", command="baseline")
    entries = json.loads((project / BASE).read_text())["entries"]
    assert {entry["target"] for entry in entries} == {"spec.py:build(width)", "copy.py:build(width)"}


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"schema": "muaudit.baseline/0"}', '{"schema": "muaudit.baseline/1", "entries": [{}]}']
)
def test_a_file_that_is_no_baseline_is_refused(project: Path, check: Check, text: str) -> None:
    (project / BASE).write_text(text)
    code, lines, err = check("net.py", "--baseline", BASE)
    assert (code, lines) == (2, [])
    assert "is not a baseline of this version" in err
    assert "no baseline gone.json" in check("net.py", "--baseline", "gone.json")[2]


def test_a_configured_baseline_counts_without_a_flag(project: Path, check: Check) -> None:
    (project / "muaudit.yaml").write_text("baseline: known.json\ntargets: {net: {target: net.py}}\n")
    check(command="baseline")
    entries = json.loads((project / "known.json").read_text())["entries"]
    assert [entry["target"] for entry in entries] == ["net", "net"]
    assert check()[0] == 0
    edit(project, "net: {target: net.py}", "other: {target: net.py}", "muaudit.yaml")
    code, lines, _ = check()
    assert code == 1
    assert rules(lines).count("MUP604") == 2  # these are all the targets there are, and net is not among them


def test_parts_of_a_folded_finding_can_be_answered() -> None:
    from muaudit.answers.narrow import without
    from muaudit.findings.model import Violation

    names = ("h.0.w", "h.1.w", "h.2.w")
    whole = Violation(
        "MUP101", "hidden-init", "error", "weights h.*.w (×3): off", None, None, names, "", "", "", "", "h.*.w"
    )
    rest, taken = without(whole, {"h.1.w"})
    assert rest == replace(whole, tensors=("h.0.w", "h.2.w"), message="weights h.*.w (×2): off")
    assert taken == replace(whole, tensors=("h.1.w",), message="weights h.1.w: off", pattern="h.1.w")


def test_a_finding_without_a_pattern_keeps_its_words() -> None:
    from muaudit.answers.narrow import without
    from muaudit.findings.model import Violation

    whole = Violation(
        "MUP301", "hidden-lr", "error", "weights (×3): off", None, None, ("a.w", "b.w", "c.w"), "", "", ""
    )
    rest, taken = without(whole, {"a.w"})
    assert rest is not None
    assert taken is not None
    assert (rest.message, taken.message) == ("weights (×2): off", "weights a.w: off")
