"""Published Hugging Face configs, audited without weights: a verdict each, nothing left out, nobody blamed wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest
from matrix import some

from muaudit.findings.model import Report

pytest.importorskip("transformers")
FAMILIES = sorted(p.parent.name for p in Path("fixtures/hf").glob("*/config.json"))
SCALES_EMBEDDING = {"gemma", "gemma2", "gemma3"}  # embeddings × sqrt(hidden_size)


@pytest.fixture(scope="module", params=some(FAMILIES, FAMILIES[::2]))
def report(request: pytest.FixtureRequest) -> tuple[str, Report]:
    from muaudit.audit import audit
    from muaudit.targets import resolve

    return request.param, audit(resolve(f"fixtures/hf/{request.param}"))


def test_verdict_and_nothing_unanalysed(report: tuple[str, Report]) -> None:
    family, result = report
    assert result.verdict == "standard", family
    assert not result.unanalysed, result.unanalysed


def test_blame_is_hidden_weights_and_readouts(report: tuple[str, Report]) -> None:
    """One learning rate and a constant std: hidden weights and readouts are wrong; norms, biases and tables are not."""
    family, result = report
    rules: dict[str, set[str]] = {}
    for violation in result.violations:
        for name in violation.tensors:
            rules.setdefault(name, set()).add(violation.rule)
    for row in result.tensors:
        found = rules.get(row.name, set())
        if row.roles == ("hidden",):
            assert "MUP301" in found, row.name
            assert found <= {"MUP101", "MUP301"}, row.name
        elif "output" in row.roles:
            allowed = {"MUP402", "MUP204"} if family in SCALES_EMBEDDING else {"MUP202", "MUP402"}
            assert found
            assert found <= allowed, (row.name, found)
        elif family not in SCALES_EMBEDDING or row.roles != ("input",):
            assert not found, (row.name, row.roles, found)


def test_attention_is_right_when_heads_grow_at_fixed_size(report: tuple[str, Report]) -> None:
    assert not [v for v in report[1].violations if v.rule in ("MUP201", "MUP206", "MUP207")]
