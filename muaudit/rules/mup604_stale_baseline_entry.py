"""An entry of the baseline that no finding answers to.

## What it does
Reports baseline entries whose finding was mended, answered elsewhere, or belonged to a tensor or
target that is gone. Entries of targets that were not audited are left alone.

## Why is this bad
It will hide the same mistake when it comes back.

## Example
    {"target": "gpt", "rule": "MUP201", "subject": "h.*.attn", ...}

## Fix
    muaudit baseline --prune

## Evidence
None is needed.

## When it is fine
While several branches share a baseline.
"""

from __future__ import annotations

from muaudit.rules.rule import Rule


class StaleBaselineEntry(Rule):
    code = "MUP604"
    name = "stale-baseline-entry"
    axis = ""
    severity = "advice"
    summary = "the baseline lists a finding that is there no more"
    channel = "answer"
    fix_text = "muaudit baseline --prune"
