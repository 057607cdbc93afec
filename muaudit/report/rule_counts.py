"""`--statistics`: how often each rule was broken, instead of the findings."""

from __future__ import annotations

from collections import Counter

from muaudit.report.layout import Line, columns, line
from muaudit.report.listing import Run, findings


def statistics_lines(run: Run) -> list[Line]:
    """One row a rule, most frequent first: findings (repeated blocks count as one), tensors, code and name."""
    found = findings(run)
    counts = Counter((f.rule, f.name, f.severity) for f in found)
    tensors = Counter(f.rule for f in found for _ in f.subjects)
    rows = [(str(n), str(tensors[rule]), severity, rule, name) for (rule, name, severity), n in counts.most_common()]
    if not rows:
        return [line("no findings")]
    return columns([("findings", "tensors", "severity", "rule", "name"), *rows])
