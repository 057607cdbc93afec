"""The attention factor on the attention output instead of the logits: two symptoms, one mistake.

Logits without their factor would be one finding, and a constant that shrinks what the projection reads another. When
the constant stands between the softmax and the next weight, and without it nothing else is wrong there, it is the
factor in the wrong place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...findings.discrepancy import Discrepancy
from ...program.values import Value, readers_of
from ..cost import CAUSE
from ..discrepancies import folded
from ..explanation import Edited, Explanation

_ON_THE_WAY = ("view", "scale", "join", "softmax")


def misplaced_factors(plain: Explanation) -> Iterator[Edited]:
    """The program without the shrinking constants behind the softmax of logits that lack their factor."""
    unscaled = [j.use.value for j in plain.judged if j.use.kind == "attention" and j.init_off > 0]
    consumers = readers_of(plain.program.values) if unscaled else {}
    factors = {factor: logits for logits in unscaled for factor in _after_softmax(logits, consumers)}
    if factors:
        found = folded([_discrepancy(factor, logits) for factor, logits in factors.items()])
        yield Edited(tuple(found), CAUSE + len(found), frozenset(factors), frozenset(factors.values()))


def _after_softmax(logits: Value, consumers: Mapping[Value, list[Value]]) -> list[Value]:
    """Scalings by a shrinking constant between the softmax of these logits and the next weight."""
    stack, seen, found = [(logits, False)], {logits}, []
    while stack:
        value, normalised = stack.pop()
        for follower in consumers.get(value, ()):
            among = follower.kind == "contract" and not any(a.weight for a in follower.args)
            if follower in seen or not (follower.kind in _ON_THE_WAY or among):
                continue
            seen.add(follower)
            if follower.kind == "scale" and normalised and follower.c < 0:
                found.append(follower)
            stack.append((follower, normalised or follower.kind == "softmax"))
    return found


def _discrepancy(factor: Value, logits: Value) -> Discrepancy:
    op = factor.op
    return Discrepancy(
        "attention_output", None, (), "", factor.c, 0.0, op.file, op.line, module=logits.op.module,
        consequence="attention logits grow once trained, and what attention adds to the residual stream shrinks",
    )  # fmt: skip
