"""The audit's rules: one file each, and one explicit list."""

from muaudit.rules.base import Rule
from muaudit.rules.registry import RULES, get_rule

__all__ = ["RULES", "Rule", "get_rule"]
