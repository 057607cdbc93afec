"""Advice that right models get too: what Appendix D of TP5 (arXiv 2203.03466) recommends beyond a parametrization."""

from __future__ import annotations

from muaudit.findings.model import Report, Violation

APPENDIX_D = frozenset({"MUP501", "MUP509", "MUP510", "MUP511", "MUP512"})


def but_for_appendix_d(report: Report) -> list[Violation]:
    """The other findings."""
    return [v for v in report.violations if v.rule not in APPENDIX_D]
