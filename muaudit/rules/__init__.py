"""The audit's rules: one file each, and one explicit list."""

from muaudit.rules.all_rules import RULES, get_rule
from muaudit.rules.rule import Rule

__all__ = ["RULES", "Rule", "get_rule"]
