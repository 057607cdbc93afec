"""The places a report speaks of, for findings to point at and comments to answer at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..findings.model import Report, Violation
from ..targets.probe import Target
from ..trace.definitions import Place

_OF_OPTIMIZER = ("MUP503", "MUP505")
"""What is about settings of the optimizer alone: no use of a tensor has a part in it."""


def located(report: Report, target: Target, defined: Mapping[str, Place], optimizer: Place) -> Report:
    """The report with every parameter's definition; a finding without a line is at the model's class.

    optimizer: the user's line that makes it. What is about its settings alone is found there.
    """
    rows = tuple(
        replace(row, defined_file=defined[row.name][0], defined_line=defined[row.name][1])
        if row.name in defined
        else row
        for row in report.tensors
    )
    home = target.class_file, target.class_line
    return replace(
        report,
        tensors=rows,
        violations=tuple(_placed(violation, home, defined, optimizer) for violation in report.violations),
        unanalysed=tuple(u if u.file else replace(u, file=home[0], line=home[1]) for u in report.unanalysed),
        path=str(target.path.resolve()) if target.path else None,
        class_file=target.class_file,
        class_line=target.class_line,
    )


def _placed(violation: Violation, home: Place, defined: Mapping[str, Place], optimizer: Place) -> Violation:
    """The finding with the line that it is found at, and the one that makes what is wrong."""
    made: Place = (None, None)
    if violation.rule.startswith("MUP1") and violation.tensors:
        made = defined.get(violation.tensors[0], made)
    elif violation.rule.startswith("MUP3") or violation.rule in _OF_OPTIMIZER:
        made = optimizer
    at = violation.file, violation.line
    if made[0] and violation.rule in _OF_OPTIMIZER:
        at = made
    elif at[0] is None:
        at = home
    made = (None, None) if made == at else made
    return replace(violation, file=at[0], line=at[1], made_file=made[0], made_line=made[1])
