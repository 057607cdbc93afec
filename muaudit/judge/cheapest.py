"""From a program to what is wrong with it: of all explanations, the one that costs least."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from ..findings.discrepancy import Discrepancy
from ..program.lower import Program
from ..program.operands import parameters_in, through_views
from ..program.values import ZERO, Value, arguments, beyond
from ..solve.uses import Solver
from .blame import Blame
from .cost import CAUSE, LINE
from .discrepancies import discrepancies
from .explanation import Edited, Explanation, Measured
from .hypotheses import HYPOTHESES


def explain(program: Program, measured: Measured) -> tuple[Explanation, tuple[Discrepancy, ...]]:
    """The program judged as it stands, and the findings of the explanation of lowest cost.

    That is what stands, or what is left of it under the edit of a hypothesis, and the finding that says the edit.
    """
    plain = best = explained(program, measured, Edited())
    if plain.discrepancies:
        for hypothesis in HYPOTHESES:
            for edited in hypothesis(plain):
                other = explained(program, measured, edited)
                spared = not any(d.aspect in edited.spares for d in other.discrepancies)
                if spared and other.cost < best.cost - 1e-9:
                    best = other
    told = best.judged if best.edited.trained is None else plain.judged
    return replace(plain, told=told), best.discrepancies


def explained(
    program: Program, measured: Measured, edited: Edited, share: float = 1.0, pinned: bool = True
) -> Explanation:
    """What is wrong with a program under one edit: solved, its gauge chosen, every use judged.

    share: α, where what one block of L adds to its stream is of size L^-α. pinned: the stream is of size 1.
    """
    trained = measured.trained if edited.trained is None else edited.trained
    ideal = Solver(program, edited.without, edited.right, share, pinned).run()
    constants = _before_constants(program, edited.without)
    scales = program.gradient_scales()
    blame = Blame(ideal, measured.inits, trained, measured.readout_bound, scales, constants, measured.removed)
    blame.choose()
    judged = blame.all()
    found = discrepancies(program.values, judged, ideal.conflicts, measured.inits, trained)
    joins = len({(conflict.value.op.file, conflict.value.op.line) for conflict in ideal.conflicts})
    cost = blame.cost + joins * (CAUSE + 1 + LINE) + edited.cost
    return Explanation(program, measured, ideal, blame, tuple(judged), (*found, *edited.found), cost, edited, share)


def _before_constants(program: Program, without: Collection[Value]) -> frozenset[Value]:
    """The values that a constant is written behind: it may be one too many.

    A bias may stand between them, or what adds up the parts of a product with one tensor.
    """
    scales = [v for v in program.values if v.kind == "scale" and v.c not in (0.0, ZERO) and v not in without]
    return frozenset(each for scale in scales for each in beyond(scale, arguments, _as_made))


def _as_made(v: Value) -> bool:
    if v.kind == "join":
        return any(arg.weight for arg in v.args) or _parts(v)
    return v.kind in ("view", "scale")


def _parts(v: Value) -> bool:
    """Whether this adds up products with parts of one tensor, which are one product with it."""
    terms = list(_terms(v))
    tensors = {name for each in terms for arg in each.args if arg.weight for name in parameters_in(arg)}
    return len(tensors) == 1 and all(each.kind == "contract" for each in terms)


def _terms(v: Value) -> Iterator[Value]:
    for arg in map(through_views, v.args):
        yield from _terms(arg) if arg.kind == "join" else (arg,)
