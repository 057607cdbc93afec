"""From discrepancies to violations: each one belongs to exactly one rule."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from typing import TYPE_CHECKING

from muaudit.findings.model import SEVERITIES, Severity, Violation
from muaudit.findings.power import power
from muaudit.rules.all_rules import RULES
from muaudit.rules.rule import Rule, the_one_of

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy
    from muaudit.parametrizations.profiles import Profile


_WITHOUT_EXPONENTS = (
    "zero_readout", "zero_query", "activation",
    "init_shape", "d_head", "study", "base_width", "no_gradient", "no_group", "dead_path", "skip_gain", "skip_scaled",
    "short_sequences",
    "into_every_block", "own_rate", "held_twice", "schedule_shape", "decay_not_as_set", "decay_free",
)  # fmt: skip
_WITH_A_RATE = (
    "orthogonalised_role",
    "orthogonalised_cut",
    "orthogonalised_as_one",
)  # its exponents, where that is wrong as well


def judge(discrepancies: Iterable[Discrepancy], profile: Profile) -> tuple[Violation, ...]:
    """The violations, worst first: by severity, then by how many powers of width are missing, then by place."""
    judged = [(violation_of(d, the_one_of(RULES, d), profile), d) for d in discrepancies]
    judged.sort(key=lambda pair: _badness(*pair))
    return tuple(violation for violation, _ in judged)


def violation_of(d: Discrepancy, rule: Rule, profile: Profile) -> Violation:
    """`d` in the words of its rule, with the profile's severity."""
    of_rows = d.rows.replace(":", " to ")
    of_rate = d.aspect not in _WITH_A_RATE or d.found != d.expected
    exponents = d.aspect not in _WITHOUT_EXPONENTS and of_rate
    return Violation(
        rule=rule.code,
        name=rule.name,
        severity=profile.severities.get(rule.code, _severity(d, rule, profile)),
        message=rule.message(d) + (f", for its outputs {of_rows} alone" if of_rows else ""),
        file=d.file,
        line=d.line,
        tensors=d.tensors,
        found=power(d.found, d.symbol) if exponents else "",
        expected=power(d.expected, d.symbol) if exponents else "",
        fix=rule.fix(d) + (f", for rows {d.rows} of it alone, or as a layer of their own" if of_rows else ""),
        consequence=rule.consequence(d),
        pattern=d.pattern,
        found_exponent=d.found,
        expected_exponent=d.expected,
        module=d.module,
        modules=d.modules,
    )


def _severity(d: Discrepancy, rule: Rule, profile: Profile) -> Severity:
    """The rule's own, but for what schools disagree about."""
    sqrt = d.aspect == "attention" and not d.path and d.detail == "1/sqrt(d_head)"
    return profile.sqrt_attention if sqrt else rule.severity_of(d)


def _badness(violation: Violation, d: Discrepancy) -> tuple[int, float, str, int, str]:
    distance = abs(d.found - d.expected)
    size = 0.0 if isnan(distance) else distance
    return SEVERITIES.index(violation.severity), -size, d.file or "", d.line or 0, violation.rule
