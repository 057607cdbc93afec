"""The places a report speaks of, for findings to point at and comments to answer at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..findings.model import Report
from ..targets.probe import Target
from ..trace.definitions import Place


def located(report: Report, target: Target, defined: Mapping[str, Place]) -> Report:
    """The report with every parameter's definition; a finding without a line is at the model's class."""
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
        violations=tuple(v if v.file else replace(v, file=home[0], line=home[1]) for v in report.violations),
        unanalysed=tuple(u if u.file else replace(u, file=home[0], line=home[1]) for u in report.unanalysed),
        path=str(target.path.resolve()) if target.path else None,
        class_file=target.class_file,
        class_line=target.class_line,
    )
