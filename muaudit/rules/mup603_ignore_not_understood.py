"""A comment that begins with `# muaudit:` and means nothing.

## What it does
Reports comments that are not of the form `# muaudit: ignore[RULE, ...] reason`, and rules in them
that do not exist.

## Why is this bad
It looks as if something was ignored, and nothing is.

## Example
    att = q @ k.mT  # muaudit: ignore MUP201

## Fix
    att = q @ k.mT  # muaudit: ignore[MUP201] scaled by the caller

## Evidence
None is needed.

## When it is fine
Never.
"""

from __future__ import annotations

from muaudit.rules.rule import Rule


class IgnoreNotUnderstood(Rule):
    code = "MUP603"
    name = "ignore-not-understood"
    axis = ""
    severity = "warning"
    summary = "a comment of muaudit's that cannot be read, or names no rule"
    channel = "answer"
    fix_text = "write # muaudit: ignore[MUP201] and the reason; all rules: muaudit rules"
