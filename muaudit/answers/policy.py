"""Which rules are reported, how severe they are, and for which tensors they are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from muaudit.answers.narrow import without
from muaudit.errors import UserError
from muaudit.findings.model import SEVERITIES, Answered, Report, Severity, Unanalysed, Violation, subjects
from muaudit.rules import RULES, Rule, get_rule
from muaudit.suggest import nearest

ALL = "ALL"


@dataclass(frozen=True)
class Policy:
    """Selectors are ALL, code prefixes or rule names; the longest that fits a rule decides, and `ignore` wins a tie."""

    select: tuple[str, ...] = (ALL,)
    extend_select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    severities: Mapping[str, Severity] = field(default_factory=dict)
    tensor_ignores: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Policy:
        """From the keys of a configuration. Raises UserError for a rule that does not exist."""
        ignores = given.get("tensor-ignores") or {}
        return cls(
            select=prefixes(given.get("select", (ALL,))),
            extend_select=prefixes(given.get("extend-select", ())),
            ignore=prefixes(given.get("ignore", ())),
            severities={prefixes([rule])[0]: level for rule, level in (given.get("severities") or {}).items()},
            tensor_ignores=tuple((pattern, prefixes(rules)) for pattern, rules in ignores.items()),
        )

    def with_(self, other: Policy, selected: bool = True) -> Policy:
        """This policy narrowed by another: its `select` takes over where it has one, everything else adds up."""
        return replace(
            self,
            select=other.select if selected else self.select,
            extend_select=self.extend_select + other.extend_select,
            ignore=self.ignore + other.ignore,
            severities={**self.severities, **other.severities},
            tensor_ignores=self.tensor_ignores + other.tensor_ignores,
        )

    def reports(self, code: str) -> bool:
        """Whether this rule is reported at all."""
        chosen = _longest(code, (*self.select, *self.extend_select))
        return chosen > _longest(code, self.ignore)

    def severity(self, code: str) -> Severity | None:
        """The severity set for this rule, by its longest prefix."""
        fitting = [prefix for prefix in self.severities if _fits(code, prefix)]
        return self.severities[max(fitting, key=len)] if fitting else None

    def ignored(self, code: str, names: Iterable[str]) -> frozenset[str]:
        """Those of the names whose pattern ignores this rule."""
        patterns = [pattern for pattern, rules in self.tensor_ignores if _longest(code, rules) >= 0]
        return frozenset(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


def apply_policy(report: Report, policy: Policy) -> Report:
    """The report as the policy has it: severities set, ignored findings among the answered, worst first."""
    kept: list[Violation] = []
    answered: list[Answered] = []
    for violation in report.violations:
        level = policy.severity(violation.rule)
        violation = replace(violation, severity=level) if level else violation
        if not policy.reports(violation.rule):
            answered.append(Answered(violation, "configuration", "the rule is not selected"))
            continue
        rest, gone = without(violation, policy.ignored(violation.rule, subjects(violation)))
        kept += [rest] if rest else []
        answered += [Answered(gone, "configuration", "tensor-ignores")] if gone else []
    kept.sort(key=lambda violation: SEVERITIES.index(violation.severity))
    left = tuple(item for item in report.unanalysed if _still_open(item, policy))
    answered += [Answered(as_violation(item), "configuration") for item in report.unanalysed if item not in left]
    return replace(report, violations=tuple(kept), unanalysed=left, answered=(*report.answered, *answered))


def prefixes(texts: Sequence[str]) -> tuple[str, ...]:
    """Selectors as code prefixes: names become codes. Raises UserError for what selects no rule."""
    return tuple(_prefix(text) for text in texts)


def _prefix(text: str) -> str:
    key = text.strip()
    if key.upper() in (ALL, "MUP"):
        return ALL
    code = f"MUP{key}" if key.isdigit() else key.upper()
    if any(rule.code.startswith(code) for rule in RULES):
        return code
    try:
        return get_rule(key).code
    except UserError:
        known = [name for rule in RULES for name in _names(rule)]
        raise UserError(f"no rule is called {text!r}", nearest(key, known, "rules")) from None


def _names(rule: Rule) -> tuple[str, str]:
    return rule.code, rule.name


def _fits(code: str, prefix: str) -> bool:
    return prefix == ALL or code.startswith(prefix)


def _longest(code: str, selectors: Iterable[str]) -> int:
    """The length of the longest selector that fits; 0 for ALL, -1 for none."""
    return max((0 if each == ALL else len(each) for each in selectors if _fits(code, each)), default=-1)


def _still_open(item: Unanalysed, policy: Policy) -> bool:
    return policy.reports(item.rule) and not policy.ignored(item.rule, [item.name])


def as_violation(item: Unanalysed) -> Violation:
    rule = get_rule(item.rule)
    message = f"not analysed: {item.name}: {item.reason}"
    return Violation(rule.code, rule.name, "advice", message, item.file, item.line, (), "", "", "", module=item.name)
