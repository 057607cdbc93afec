"""The audit's rules: one file each, one explicit list, and `judge`, which turns discrepancies into violations."""

from muaudit.rules.base import Rule
from muaudit.rules.judge import judge
from muaudit.rules.registry import RULES, get_rule

__all__ = ["RULES", "Rule", "get_rule", "judge"]
