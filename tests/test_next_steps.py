"""What reports end with is what can be done about what they found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_html_charts import activation, measurement, swept

from muaudit.sweep.sweep_lines import next_steps as after_sweep
from muaudit.training.coord_check_lines import next_steps as after_check
from muaudit.training.verdict import judge


@pytest.mark.parametrize(
    ("exponent", "audited", "axis", "said"),
    [
        (0.5, "standard", "width", "muaudit check names the lines behind it"),
        (0.5, "standard", "depth", "muaudit check --axis depth names the lines behind it"),
        (0.5, "mup", "width", "the audit has no error here: muaudit check --why 'a'"),
        (0.0, "mup", "width", "muaudit sweep shows"),
    ],
)
def test_a_check(exponent: float, audited: str, axis: str, said: str) -> None:
    run = replace(measurement(activation("a", exponent)), audit_verdict=audited, axis=axis)
    assert "; ".join(after_check(run, judge(run))).startswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "fail"}, "muaudit check names the lines behind it; muaudit convert writes a plan"),
        ({"status": "undecided", "more": 4}, "--until-decided runs 4 more seeds"),
        ({"status": "pass", "wider": "pass"}, "muaudit transfer --from 64 --to N --set lr="),
    ],
)
def test_a_sweep(change: dict[str, object], said: str) -> None:
    measured, verdicts = swept()
    told = [replace(each, **change) for each in verdicts]  # type: ignore[type-var]
    assert "; ".join(after_sweep(measured, told)).startswith(said)  # type: ignore[arg-type]
