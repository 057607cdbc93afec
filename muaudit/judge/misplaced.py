"""The attention factor on the attention output instead of the logits: two symptoms, one mistake.

Logits without their factor would be one finding, and a constant that shrinks what the projection reads another. When
the constant stands between the softmax and the next weight, and without it nothing else is wrong there, it is the
factor in the wrong place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..findings.discrepancy import Discrepancy
from ..program.lower import Program
from ..program.values import Value, readers_of
from .edits import Judged
from .findings import folded

_ON_THE_WAY = ("view", "scale", "join", "softmax")


def factors_in_place(
    program: Program, judged: Iterable[Judged], found: list[Discrepancy], again: Callable[[], list[Discrepancy]]
) -> list[Discrepancy]:
    """`found`, with factors on attention outputs told as what they are. `again` judges `program` anew."""
    unscaled = [j.use.value for j in judged if j.use.kind == "attention" and j.init_off > 0]
    if not unscaled:
        return found
    consumers = readers_of(program.values)
    factors = {factor: logits for logits in unscaled for factor in _after_softmax(logits, consumers)}
    if not factors:
        return found
    constants = {factor: factor.c for factor in factors}
    try:
        for factor in factors:
            factor.c = 0.0
        without = again()
    finally:
        for factor, c in constants.items():
            factor.c = c
    modules = {logits.op.module for logits in factors.values()}
    kept = [d for d in without if not (d.aspect == "attention" and _within(d.module, modules))]
    placed = folded([_discrepancy(factor, logits) for factor, logits in factors.items()])
    return [*kept, *placed] if len(kept) + len(placed) < len(found) else found


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


def _within(folded_module: str, modules: set[str]) -> bool:
    from ..findings.names import pattern_of

    return folded_module in modules or folded_module in {pattern_of(each) for each in modules}


def _discrepancy(factor: Value, logits: Value) -> Discrepancy:
    op = factor.op
    return Discrepancy(
        "attention_output", None, (), "", factor.c, 0.0, op.file, op.line, module=logits.op.module,
        consequence="attention logits grow once trained, and what attention adds to the residual stream shrinks",
    )  # fmt: skip
