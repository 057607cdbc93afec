"""A comment that ignores a rule where that rule finds nothing.

## What it does
Reports `# muaudit: ignore[...]` comments in the audited classes that answer no finding: the bug was
mended, or the comment stands on another line than the finding. Comments in code that no audit ran
through, and for rules that are not selected, are left alone.

## Why is this bad
It will hide the same mistake when it comes back.

## Example
    self.head = MuReadout(width, 10)  # muaudit: ignore[MUP202] to be mended

## Fix
Delete the comment, or move it to the line of the operation, of the parameter's definition, or of the
class.

## Evidence
None is needed.

## When it is fine
When only some of the settings that the code is used with are audited.
"""

from __future__ import annotations

from muaudit.rules.rule import Rule


class UnusedIgnore(Rule):
    code = "MUP601"
    name = "unused-ignore"
    axis = ""
    severity = "warning"
    summary = "an ignore comment that answers no finding"
    channel = "answer"
    fix_text = "delete the comment, or move it to the line of the operation, the parameter's definition, or the class"
