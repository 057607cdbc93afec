"""A comment that ignores a rule and does not say why.

## What it does
Reports `# muaudit: ignore[...]` comments with nothing after the bracket. The finding is ignored all
the same.

## Why is this bad
Whoever reads the code next cannot tell a decision from a mistake that was put off.

## Example
    y = F.scaled_dot_product_attention(q, k, v)  # muaudit: ignore[MUP201]

## Fix
    y = F.scaled_dot_product_attention(q, k, v)  # muaudit: ignore[MUP201] d_head stays 64 in all runs

## Evidence
None is needed.

## When it is fine
When reasons are kept elsewhere: `ignore = ["MUP602"]` in the configuration.
"""

from __future__ import annotations

from muaudit.rules.rule import Rule


class IgnoreWithoutReason(Rule):
    code = "MUP602"
    name = "ignore-without-reason"
    axis = ""
    severity = "warning"
    summary = "an ignore comment gives no reason"
    channel = "answer"
    fix_text = "write the reason after the bracket"
