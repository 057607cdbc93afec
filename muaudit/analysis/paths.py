"""One more path through a model that was audited already: what is wrong there and not on the first path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import fx

from ..findings.discrepancy import Discrepancy
from ..judge.explanation import Measured
from ..program.lower import Program
from ..program.row_parts import taken_apart
from ..program.values import ZERO
from ..solve.predict import predict
from ..solve.uses import Ideal, Solver
from ..thresholds import TOLERANCE
from ..trace.align import Aligned, op_name
from ..trace.recorder import Recording
from .analyse import Analysis
from .axis import Third
from .comparable import alone
from .consequences import with_consequences
from .derive import settled, starts_of
from .verifier import accounts


def same(first: Recording, other: Recording) -> bool:
    """Whether two recordings at one width are the same operations with the same constants in the same order."""
    return _signature(first.graph) == _signature(other.graph)


def _signature(graph: fx.Graph) -> list[tuple[Any, ...]]:
    numbers = {node: index for index, node in enumerate(graph.nodes)}

    def plain(value: Any) -> Any:
        if isinstance(value, fx.Node):
            return ("value", numbers[value])
        if isinstance(value, (list, tuple)):
            return tuple(plain(each) for each in value)
        return value if isinstance(value, (bool, int, float, str)) else str(value)

    return [
        (op_name(node), node.meta.get("shape"), plain(node.args), plain(tuple(node.kwargs.items())))
        for node in graph.nodes
    ]


def deviations(
    known: Analysis,
    recordings: tuple[Recording, Recording],
    readout_bound: float,
    third: Callable[[], Third | None] = lambda: None,
) -> tuple[list[Discrepancy], Ideal]:
    """What a path asks of tensors and constants that the first path does not ask: new discrepancies only.

    Init and learning rates are those already measured. third: records the path further along the axis, for constants
    that two recordings leave in doubt. Where the first path has findings too, another choice of gauge can put the same
    mistake elsewhere, so a path then has to show more of them, in places not blamed yet, or one as large as what a line
    of the code multiplies by on one of the two paths only. A path that asks for the same has nothing to show.
    """
    axis, target, main = known.axis, known.target, known.scaling
    odd = alone(recordings, [axis.size(target, number) for number in (0, 1)])

    def aligned(further: Third | None) -> Aligned:
        return axis.align(recordings, target, odd, further)

    program = settled(aligned(None), starts_of(main.inits), aligned, third)
    ideal = Solver(program).run()
    if ideal.asks() == main.ideal.asks():
        return [], ideal
    plain, found = axis.judged(program, Measured(main.inits, main.trained, readout_bound, main.removed))
    accounts(program, plain.ideal)
    apart = taken_apart(program)
    if apart is not None and apart.parts.keys() <= main.row_inits.keys():
        inits = {**main.inits, **main.row_inits}
        _, found = axis.judged(apart.program, Measured(inits, main.trained, readout_bound, main.removed))
    blamed = {name for d in main.discrepancies for name in d.tensors}
    places = {(d.aspect, d.module) for d in main.discrepancies if not d.tensors}
    new = [d for d in found if not blamed & set(d.tensors) and (d.tensors or (d.aspect, d.module) not in places)]
    if main.discrepancies and len(found) <= len(main.discrepancies):
        steps = _steps(main.program, program)
        new = [d for d in new if any(abs(abs(d.found - d.expected) - step) < TOLERANCE for step in steps)]
    prediction = predict(program, main.inits, main.trained)
    return with_consequences(new, plain.judged, program, prediction), plain.ideal


def _steps(first: Program, other: Program) -> set[float]:
    """What lines that both programs run through multiply by on one of the two only: sizes of the exponents."""
    a, b = _constants(first), _constants(other)
    return {abs(c) for line in a.keys() & b.keys() for c in a[line] ^ b[line]}


def _constants(program: Program) -> dict[tuple[str, str | None, int | None], set[float]]:
    """The exponents of the constants, by module and line."""
    found: dict[tuple[str, str | None, int | None], set[float]] = {}
    for value in program.values:
        here = found.setdefault((value.op.module, value.op.file, value.op.line), set())
        if value.kind == "scale" and value.c not in (0.0, ZERO):
            here.add(value.c)
    return found


def on_path(d: Discrepancy, label: str) -> Discrepancy:
    """`d` as something that holds on this path only, which may never be trained on."""
    size, _, trained = d.consequence.partition(": training ")
    return replace(d, path=label, consequence=f"{size}: what this path returns does too" if trained else d.consequence)
