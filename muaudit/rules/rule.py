"""What a rule is."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

from muaudit.findings.model import Severity

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Aspect, Discrepancy, Role

# How a rule reaches the user: as a violation, in the list of what was not analysed, as a refusal (exit 2), or about
# the user's answers to findings.
Channel = Literal["violation", "unanalysed", "refusal", "answer"]
Key = tuple["Aspect", "Role | None"]

ROLES: tuple[Role | None, ...] = ("input", "hidden", "output", "bias", "gain", "positional", "scalar", None)


def any_role(aspect: Aspect) -> frozenset[Key]:
    """The keys of a rule that covers an aspect whatever the role."""
    return frozenset((aspect, role) for role in ROLES)


class Rule:
    """One rule. Its module's docstring is what `muaudit explain CODE` prints.

    A discrepancy belongs to the rule whose `keys` hold its (aspect, role); rules that share a key tell
    themselves apart in `matches`. Every discrepancy belongs to exactly one rule: `the_one_of` verifies it.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity] = "error"
    summary: ClassVar[str]
    keys: ClassVar[frozenset[Key]] = frozenset()
    channel: ClassVar[Channel] = "violation"
    fix_text: ClassVar[str] = ""  # the fix where it depends on nothing
    axis: ClassVar[str] = "width"  # along which it looks; "" where along any
    of_paths: ClassVar[bool] = False  # reports what holds on another path than the one audited first

    def matches(self, d: Discrepancy) -> bool:
        """Whether this rule is the one that reports `d`."""
        return (d.aspect, d.role) in self.keys

    def severity_of(self, d: Discrepancy) -> Severity:
        """The severity for this very discrepancy, before the profile has its say."""
        return self.severity

    def message(self, d: Discrepancy) -> str:
        """One plain sentence: what, found, needed."""
        raise NotImplementedError(f"{self.code} reports no discrepancy")

    def fix(self, d: Discrepancy) -> str:
        """A concrete edit or value."""
        raise NotImplementedError(f"{self.code} reports no discrepancy")

    def consequence(self, d: Discrepancy) -> str:
        """What happens as width grows."""
        return d.consequence

    @property
    def doc(self) -> str:
        """The docstring of the rule's module."""
        return (sys.modules[type(self).__module__].__doc__ or "").strip()


def the_one_of(rules: Iterable[Rule], d: Discrepancy) -> Rule:
    """The one of `rules` that reports `d`. None or several is a bug in the rules, not in the user's model."""
    matching = [rule for rule in rules if rule.of_paths == bool(d.path) and rule.matches(d)]
    if len(matching) != 1:
        codes = ", ".join(rule.code for rule in matching) or "none"
        raise AssertionError(f"a discrepancy must belong to exactly one rule, found {codes}: {d}")
    return matching[0]
