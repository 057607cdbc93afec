"""The renderers, over one made-up report."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from muaudit.errors import UserError
from muaudit.findings.model import ActivationRow, Answered, Report, Step, TensorRow, Unanalysed, Verdict, Violation
from muaudit.findings.power import power
from muaudit.report.layout import PASTE, coloured, columns, line, plain
from muaudit.report.render import render
from muaudit.report.tensors import folded
from muaudit.report.terminal import report_lines

SOURCE = "import torch\n\nself.up = nn.Linear(d, 4 * d)\nself.attn = x['[bold]']\n"
ANSI = re.compile(r"\x1b\[")


def tensor(name: str, **more: Any) -> TensorRow:
    row = TensorRow(
        name, (256, 64), "matrix", ("hidden",), ("inf", "inf"), 0.0, 0.0, 0.0, "model.py", 3, -0.5, -1.0, 3e-4
    )
    return replace(row, **more)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    file = tmp_path / "model.py"
    file.write_text(SOURCE)
    names = tuple(f"h.{i}.up.weight" for i in range(12))
    violations = (
        Violation(
            "MUP101", "hidden-init", "error", "hidden weights h.*.up.weight (×12): std ∝ n^0, needs n^-1/2",
            str(file), 3, names, "n^0", "n^-1/2", "std = 0.02 * (width / base_width)**-0.5",
            "activations grow like n^1/2", "h.*.up.weight", 0.0, -0.5,
        ),
        Violation(
            "MUP201", "attention-scale", "error", "logits in [h.0.attn]: ∝ n^-1/2, needs n^-1",
            str(file), 4, (), "n^-1/2", "n^-1", "divide by d_head", "they grow",
        ),
        Violation("MUP310", "weight-decay-exponent", "advice", "lr · wd", None, None, (), "n^-1", "n^0", ""),
    )  # fmt: skip
    steps = (
        Step("linear", str(file), 3, "init n^1/2", "random weight × activation (TP5 J.1)"),
        Step("+", None, None, "max", ""),
    )
    return Report(
        version="0.1.0", target="model.py", describe="GPT(GPTConfig), n_embd 64 → 128, input int64[2, 32]",
        width_name="n_embd", probes=(64, 128), optimizer="adamw", optimizer_source="default adamw, one learning rate",
        profile="tp5",
        tensors=(*map(tensor, names), tensor("[/red]", init_exponent=-inf, lr=None, init_required=None)),
        activations=(ActivationRow("h.0.up", "h.0.up", True, str(file), 3, 0.5, nan),),
        verdict="mixed", violations=violations, unanalysed=(Unanalysed("[x]", str(file), 1, "no rule\nfor it"),),
        notes=("kept n_head = 4",), derivations={"[h.0.attn]": steps, "h.0.up.weight": steps[:1]},
    )  # fmt: skip


def clean(report: Report, verdict: Verdict = "mup") -> Report:
    return replace(report, verdict=verdict, violations=(), unanalysed=())


def test_json_follows_the_contract(report: Report) -> None:
    text = render(report, "json")
    found = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert list(found)[:12] == [
        "schema", "version", "target", "width", "optimizer", "profile", "tensors", "activations", "verdict",
        "violations", "unanalysed", "summary",
    ]  # fmt: skip
    assert found["schema"] == "muaudit.report/1"
    assert found["width"] == {"name": "n_embd", "probes": [64, 128]}
    assert list(found["tensors"][0])[:10] == [
        "name", "shape", "kind", "roles", "dims", "init_exponent", "lr_exponent", "multiplier_exponent", "file", "line",
    ]  # fmt: skip
    assert found["tensors"][-1]["init_exponent"] == "-inf"
    assert found["tensors"][-1]["init_required"] is None
    assert found["activations"] == [
        {"name": "h.0.up", "module": "h.0.up", "module_output": True, "file": str(Path("model.py").resolve()),
         "line": 3, "init_exponent": 0.5, "update_exponent": None, "capped_exponent": None,
         "ideal_exponent": None}
    ]  # fmt: skip
    assert list(found["violations"][0])[:9] == [
        "rule", "severity", "message", "file", "line", "tensors", "found", "expected", "fix",
    ]  # fmt: skip
    assert (found["violations"][0]["found_exponent"], found["violations"][0]["expected_exponent"]) == (0.0, -0.5)
    assert len(found["violations"][0]["tensors"]) == 12
    assert found["violations"][1]["tensors"] == []
    assert list(found["unanalysed"][0])[:4] == ["name", "file", "line", "reason"]
    assert found["summary"] == {"errors": 2, "warnings": 0, "advice": 1}
    assert text.isascii()


def test_concise_is_one_line_a_finding(report: Report) -> None:
    assert render(report, "concise").splitlines() == [
        "model.py:3: MUP101 hidden weights h.*.up.weight (×12): std ∝ n^0, needs n^-1/2",
        "model.py:4: MUP201 logits in [h.0.attn]: ∝ n^-1/2, needs n^-1",
        "model.py: MUP310 lr · wd",
        "model.py:1: MUP901 not analysed: [x]: no rule for it",
    ]
    assert render(clean(report), "concise") == ""


def test_rich_through_a_pipe_is_plain_and_unwrapped(report: Report) -> None:
    assert render(report).splitlines() == [
        "GPT(GPTConfig), n_embd 64 → 128, input int64[2, 32]",
        "optimizer adamw (default adamw, one learning rate) · profile tp5",
        "",
        "✗ not µP: 2 errors, hyperparameters will not transfer",
        "",
        "error MUP101 hidden-init  n^0 → n^-1/2",
        "  hidden weights h.*.up.weight (×12): std ∝ n^0, needs n^-1/2",
        "  at       model.py:3",
        "      2 │",
        "    > 3 │ self.up = nn.Linear(d, 4 * d)",
        "      4 │ self.attn = x['[bold]']",
        "  happens  activations grow like n^1/2",
        "  fix      std = 0.02 * (width / base_width)**-0.5",
        "",
        "error MUP201 attention-scale  n^-1/2 → n^-1",
        "  logits in [h.0.attn]: ∝ n^-1/2, needs n^-1",
        "  at       model.py:4",
        "      3 │ self.up = nn.Linear(d, 4 * d)",
        "    > 4 │ self.attn = x['[bold]']",
        "  happens  they grow",
        "  fix      divide by d_head",
        "",
        "advice MUP310 weight-decay-exponent  n^-1 → n^0",
        "  lr · wd",
        "",
        "not analysed (not counted as fine; --strict makes it an error)",
        "  MUP901 [x] at model.py:1: no rule",
        "  for it",
        "",
        "note: kept n_head = 4",
        "",
        "2 errors, 0 warnings, 1 advice, 1 not analysed · 13 of 13 tensors judged (100 % of the elements)",
        "next: --diff shows edits for up to 1 of these, --fix makes them; muaudit convert leaves the code alone; "
        "muaudit explain MUP101 says why",
    ]


def test_a_terminal_gets_colour_and_wrapping_but_no_markup(report: Report) -> None:
    text = render(report, width=60, tensors=True, strict=True)
    assert ANSI.search(text)
    bare = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "[h.0.attn]" in bare
    assert "x['[bold]']" in bare
    assert "[/red]" in bare
    body = bare[: bare.index("tensor ")]
    assert max(map(len, body.splitlines())) <= 60
    assert "counts as an error" in bare


def test_no_color_is_respected(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3\d", render(report, width=80))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"verdict": "standard"}, "✗ standard parametrization (SP): hyperparameters will not transfer"),
        (
            {"verdict": "mup", "violations": ()},
            "✓ µP: all scales that could be judged follow the width as they must (1 not analysed)",
        ),
        ({"verdict": "mup", "violations": (), "unanalysed": ()}, "✓ µP: all scales follow the width as they must"),
        (
            {"verdict": "unknown", "violations": ()},
            "? no verdict, which is not a pass: 1 not analysed, what could be judged holds",
        ),
        (
            {"verdict": "unknown", "violations": (), "unanalysed": ()},
            "? no verdict, which is not a pass: nothing could be judged",
        ),
        ({"caution": "only the embedding grows", "verdict": "mup", "violations": ()}, "! only the embedding grows"),
    ],
)
def test_verdicts(report: Report, change: dict[str, Any], line: str) -> None:
    assert render(replace(report, **change)).splitlines()[3] == line


def test_what_is_set_aside_is_no_verdict_that_all_is_right_over_depth_either(report: Report) -> None:
    found = report.violations[0]
    aside = replace(clean(report), axis="depth", answered=(Answered(replace(found, severity="error"), "baseline"),))
    assert "✓ nothing new over depth: 1 in the baseline" in render(aside)
    assert "✓ all scales follow the depth as they must" in render(replace(aside, answered=()))


def test_warnings_alone_do_not_spoil_the_verdict(report: Report) -> None:
    warned = replace(clean(report), violations=(replace(report.violations[0], severity="warning"),))
    assert "! µP, with 1 warning" in render(warned)
    assert warned.exit_code() == 0


def test_exit_codes(report: Report) -> None:
    assert report.exit_code() == 1
    assert clean(report).exit_code(strict=True) == 0
    unsure = replace(report, violations=report.violations[2:])
    assert (unsure.exit_code(), unsure.exit_code(strict=True)) == (0, 1)


def test_the_tensor_table_folds_equal_blocks_only(report: Report) -> None:
    rows = [tensor(f"h.{i}.up.weight", init_exponent=0.0 if i == 3 else -0.5) for i in range(5)]
    assert [name for name, _ in folded(rows)] == ["h.*.up.weight (×4)", "h.3.up.weight"]
    header, row, other = render(report, tensors=True).split("\n\n")[6].splitlines()
    assert header.split() == [
        "tensor",
        "shape",
        "kind",
        "role",
        "init",
        "needs",
        "multiplier",
        "lr",
        "needs",
        "effective",
        "lr",
    ]
    assert row.split() == [
        "h.*.up.weight",
        "(×12)",
        "256×64",
        "matrix",
        "hidden",
        "n^0",
        "n^-1/2",
        "n^0",
        "n^0",
        "n^-1",
        "0.0003",
    ]
    assert other.split()[:6] == ["[/red]", "256×64", "matrix", "hidden", "zero", "-"]


def test_why_prints_the_derivation_alone(report: Report) -> None:
    assert render(report, why="[h.0.attn]").splitlines() == [
        "[h.0.attn]",
        "  1. linear  model.py:3",
        "     → init n^1/2",
        "     by random weight × activation (TP5 J.1)",
        "  2. +",
        "     → max",
    ]
    assert render(report, "concise", why="h.*.up.weight") == (
        "model.py:3: linear: init n^1/2 [random weight × activation (TP5 J.1)]\n"
    )
    assert json.loads(render(report, "json", why="h.0.up.weight"))["derivation"][0]["op"] == "linear"


def test_why_of_an_unknown_name(report: Report) -> None:
    with pytest.raises(UserError, match=r"no tensor or activation named 'h.0.up.weigth'\ndid you mean h.0.up.weight"):
        render(report, why="h.0.up.weigth")


def test_unknown_format(report: Report) -> None:
    with pytest.raises(UserError, match=r"unknown format 'jsn'\ndid you mean json or jsonl\?\nformats: rich"):
        render(report, "jsn")


def test_missing_source_leaves_the_excerpt_out(report: Report) -> None:
    gone = replace(report, violations=(replace(report.violations[0], file="/nowhere/at/all.py"),))
    assert "/nowhere/at/all.py:3\n  happens" in render(gone)


@pytest.mark.parametrize(
    ("exponent", "text"),
    [
        (0.0, "n^0"), (-0.5, "n^-1/2"), (0.25, "n^1/4"), (1.0, "n^1"), (-1.5, "n^-3/2"), (-inf, "zero"),
        (1 / 3, "n^1/3"), (0.3721, "n^0.37"), (None, "?"), (nan, "?"),
    ],
)  # fmt: skip
def test_powers(exponent: float | None, text: str) -> None:
    assert power(exponent) == text


def test_columns_align() -> None:
    assert plain(columns([("a", "b"), ("long", "x")])) == "a     b\nlong  x\n"


def test_a_narrow_terminal_wraps_a_table_within_its_last_column() -> None:
    rows = [("code", "rule"), (("MUP101", "bold"), "one two three four five six seven"), ("MUP2", "eight")]
    text = re.sub(r"\x1b\[[0-9;]*m", "", coloured(columns(rows, hang=None), 30))
    assert text.splitlines() == [
        "code    rule",
        "MUP101  one two three four",
        "        five six seven",
        "MUP2    eight",
    ]


def test_a_wrapped_line_keeps_every_word_and_its_first_row_is_full() -> None:
    words = "the quick brown fox jumps over the lazy dog"
    text = re.sub(r"\x1b\[[0-9;]*m", "", coloured([line(words, indent=2, hang=4)], 26))
    assert text.splitlines() == ["  the quick brown fox", "      jumps over the lazy", "      dog"]


# -- one cause, told once -----------------------------------------------------------------------------------
def alike(number: int, rule: str = "MUP104", **more: Any) -> Violation:
    found = Violation(
        rule, "bias-init", "warning", f"bias layer{number}.bias: init std ∝ n^-1/2", "model.py", 10 + number,
        (f"layer{number}.bias",), "n^-1/2", "n^0", "multiply its init std by m**0.5", "biases shrink",
        pattern=f"layer{number}.bias",
    )  # fmt: skip
    return replace(found, **more)


def test_findings_of_one_init_are_folded_into_the_first(report: Report) -> None:
    nine = replace(report, violations=tuple(alike(n) for n in range(9)))
    text = shown(nine)
    assert text.count("MUP104 bias-init") == 1
    same = "8 more: layer1.bias at model.py:11, layer2.bias at model.py:12, layer3.bias at model.py:13, layer4.bias at "
    assert f"  same     {same}model.py:14 and 4 others; --tensors lists them all" in text
    assert "9 warnings" in text
    assert shown(nine, tensors=True).count("MUP104 bias-init") == 9


def test_what_differs_in_its_cause_or_is_an_expression_of_its_own_is_not_folded(report: Report) -> None:
    told = [alike(0), alike(1), alike(2, found="n^-1"), *(alike(n, "MUP202") for n in range(3, 6))]
    assert shown(replace(report, violations=tuple(told))).count("bias-init") == 6


def test_what_was_not_analysed_for_one_reason_is_one_row(report: Report) -> None:
    reason = "do not know the optimizer Ours: its learning rate is not judged"
    items = tuple(Unanalysed(f"layer{n}.weight", None, None, reason, "MUP903") for n in range(21))
    text = shown(replace(report, unanalysed=items))
    row = "  MUP903 layer0.weight, layer1.weight, layer2.weight, layer3.weight and 17 others: " + reason
    assert row in text
    assert text.count("MUP903") == 1
    assert "21 not analysed" in text
    assert shown(replace(report, unanalysed=items), tensors=True).count("MUP903") == 21


def shown(report: Report, tensors: bool = False) -> str:
    return plain(report_lines(report, tensors))


def test_a_table_fits_a_narrow_terminal_by_fewer_columns_and_then_by_the_ends_of_names() -> None:
    rows = [("tensor", "role", "init", "eps"), ("transformer.h.*.attn.c_proj.weight", "hidden", "0.35 (m^-1/2)", "1")]
    whole, narrow, narrower = (columns(rows, room=room, optional=(3,)) for room in (80, 60, 46))
    assert [each.text.split()[-1] for each in (whole[0], narrow[0], narrower[0])] == ["eps", "init", "init"]
    assert narrow[1].text.startswith("transformer.h.*.attn.c_proj.weight  hidden")
    assert narrower[1].text.startswith("…")
    assert ".attn.c_proj.weight  hidden  0.35 (m^-1/2)" in narrower[1].text
    assert max(len(each.text) for each in narrower) <= 46


def test_what_is_to_be_pasted_is_never_broken() -> None:
    code = "optimizer = torch.optim.AdamW(plan.param_groups(model, lr=LR, weight_decay=WD), lr=LR)"
    shown = re.sub(r"\x1b\[[0-9;]*m", "", coloured([line((code, PASTE), indent=4)], 40))
    assert shown == f"    {code}\n"
