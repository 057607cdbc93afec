"""A stack of blocks whose residual stream could not be read.

## What it does
Lists the stacks that the audit over depth found no plain residual stream in, with the reason: the sum is
normalised after every block (post-norm), blocks are not added up, several streams are mixed
(hyper-connections), or the deeper model adds something else than more of the same.

## Why is this bad
It need not be: but what is not analysed is not known to be right.

## Example
    x = self.norm(x + self.mlp(x))

## Fix
None is needed; a coordinate check over depth measures what the audit cannot judge. `--strict` makes it an
error.

## Evidence
None is needed.

## When it is fine
Always; there is no verdict then.
"""

from __future__ import annotations

from muaudit.rules.rule import Rule


class StackNotRead(Rule):
    code = "MUP905"
    name = "stack-not-read"
    axis = "depth"
    severity = "warning"
    summary = "the residual stream of a stack of blocks could not be read, so nothing was judged over depth"
    channel = "unanalysed"
