"""Comments applied: what they answer is set aside, and what is wrong with them is a finding of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from muaudit.answers.comments import Comment
from muaudit.answers.narrow import without
from muaudit.answers.policy import Policy, as_violation, prefixes
from muaudit.errors import UserError
from muaudit.findings.model import SEVERITIES, Answered, Report, Violation, subjects
from muaudit.locations import shown_path
from muaudit.rules import get_rule
from muaudit.rules.all_rules import looked_for

Place = tuple[str | None, int | None]


@dataclass
class _Use:
    """A comment, the codes it names, and those that answered a finding."""

    comment: Comment
    codes: tuple[str, ...]
    used: set[str] = field(default_factory=set)

    def answers(self, rule: str, place: Place) -> bool:
        return any(rule.startswith(code) for code in self.codes) and self.comment.covers(*place)

    def use(self, rule: str) -> None:
        self.used |= {code for code in self.codes if rule.startswith(code)}


def apply_comments(
    reports: Sequence[Report], policies: Sequence[Policy], comments: Sequence[Comment], complete: bool = True
) -> tuple[Report, ...]:
    """The reports without what the comments answer.

    complete: all targets of the project were audited, so that a comment without effect is one too many.
    """
    uses = [_Use(comment, _codes(comment)) for comment in comments]
    answered = [_answered(report, uses) for report in reports]
    for use in uses:
        touched = [index for index, report in enumerate(reports) if _touches(report, use.comment)]
        if touched:
            axes = {reports[index].axis for index in touched}
            found = _about(use, [policies[index] for index in touched], axes, complete)
            answered[touched[0]] = _with(answered[touched[0]], found, policies[touched[0]])
    return tuple(answered)


def _answered(report: Report, uses: Sequence[_Use]) -> Report:
    kept: list[Violation] = []
    gone: list[Answered] = []
    defined: dict[str, Place] = {row.name: (row.defined_file, row.defined_line) for row in report.tensors}
    used: dict[str, Place] = {row.name: (row.file, row.line) for row in report.tensors}
    for violation in report.violations:
        rest: Violation | None = violation
        for use in uses:
            if rest is None:
                break
            rest, taken = without(rest, _taken(rest, use, defined, used))
            if taken:
                use.use(taken.rule)
                gone.append(Answered(taken, "source", use.comment.reason))
        kept += [rest] if rest else []
    left = []
    for item in report.unanalysed:
        place = (item.file, item.line) if item.file else defined.get(item.name, (None, None))
        use_of = next((use for use in uses if use.answers(item.rule, place)), None)
        if use_of is None:
            left.append(item)
            continue
        use_of.use(item.rule)
        gone.append(Answered(as_violation(item), "source", use_of.comment.reason))
    return replace(
        report, violations=tuple(kept), unanalysed=tuple(left), answered=(*report.answered, *gone)
    )  # fmt: skip


def _taken(violation: Violation, use: _Use, defined: Mapping[str, Place], used: Mapping[str, Place]) -> tuple[str, ...]:
    """What of a finding a comment answers: the tensors that are used or defined on its line.

    A finding that is told once for tensors on several lines is answered line by line.
    """
    about, here = subjects(violation), (violation.file, violation.line)
    several = len({used[name] for name in about if name in used}) > 1
    places = {name: [used.get(name, here) if several else here] for name in about}
    for name in about:
        places[name] += [defined[name]] if name in defined else []
    return tuple(name for name in about if any(use.answers(violation.rule, place) for place in places[name]))


def _touches(report: Report, comment: Comment) -> bool:
    """Whether the audit went through the comment's class: one in code that was not run is neither used nor unused."""
    first, last = comment.home
    return any(file == comment.file and line and first <= line <= last for file, line in _places(report))


def _places(report: Report) -> Iterator[Place]:
    yield report.class_file, report.class_line
    for row in report.tensors:
        yield row.file, row.line
        yield row.defined_file, row.defined_line
    for activation in report.activations:
        yield activation.file, activation.line
    for violation in report.violations:
        yield violation.file, violation.line


def _about(use: _Use, policies: Sequence[Policy], axes: Collection[str], complete: bool) -> list[Violation]:
    """What is wrong with a comment."""
    comment = use.comment
    if comment.rules is None:
        return [_finding("MUP603", comment, "expected `# muaudit: ignore[RULE, ...] reason`")]
    found = [
        _finding("MUP603", comment, f"no rule is called {rule!r}") for rule in comment.rules if _code(rule) is None
    ]
    if not comment.reason and use.codes:
        found.append(_finding("MUP602", comment, f"ignore[{', '.join(comment.rules)}] gives no reason"))
    for code in use.codes:
        expected = looked_for(code, axes) and any(policy.reports(code) for policy in policies)
        if complete and code not in use.used and expected:
            found.append(_finding("MUP601", comment, f"nothing here is reported as {code}, so nothing is ignored"))
    return found


def _finding(code: str, comment: Comment, message: str) -> Violation:
    rule = get_rule(code)
    text = f"ignore[{', '.join(comment.rules or ())}] in {shown_path(comment.file)}"
    fix = rule.fix_text
    return Violation(
        code, rule.name, rule.severity, message, comment.file, comment.line, (), "", "", fix, module=text
    )  # fmt: skip


def _with(report: Report, found: Iterable[Violation], policy: Policy) -> Report:
    shown = [replace(v, severity=policy.severity(v.rule) or v.severity) for v in found if policy.reports(v.rule)]
    together = sorted((*report.violations, *shown), key=lambda v: SEVERITIES.index(v.severity))
    return replace(report, violations=tuple(together))


def _codes(comment: Comment) -> tuple[str, ...]:
    return tuple(code for code in map(_code, comment.rules or ()) if code)


def _code(rule: str) -> str | None:
    try:
        return prefixes([rule])[0]
    except UserError:
        return None
