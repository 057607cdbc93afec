"""From two recordings to everything the report needs: the pipeline of the analysis, top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import nn

from ..errors import UserError
from ..findings.discrepancy import Discrepancy
from ..judge.blame import Blame
from ..judge.edits import Judged
from ..judge.explanation import Explanation, Measured
from ..optimizers.trained import Trained
from ..program.lower import Program, lower
from ..program.row_parts import TakenApart, taken_apart
from ..program.starts import Starts
from ..solve.uses import Ideal
from ..trace.align import Aligned
from ..trace.inits import Init, measure
from ..trace.redraw import Draws
from ..trace.signs import with_signs
from .axis import Third
from .removed import Biases, Gradients
from .verifier import Account, accounts

T = TypeVar("T")


@dataclass(frozen=True)
class Scaling:
    """What is known about a model's scaling with width."""

    aligned: Aligned
    program: Program
    ideal: Ideal
    blame: Blame
    inits: Mapping[str, Init]
    trained: Mapping[str, Trained]
    judged: tuple[Judged, ...]
    discrepancies: tuple[Discrepancy, ...]
    accounts: Mapping[str, Account]  # what became of every parameter
    apart: TakenApart | None = None  # the program in which rows that are used by themselves are parameters
    row_inits: Mapping[str, Init] = field(default_factory=dict)  # of these rows
    of_rows: tuple[Judged, ...] = ()  # the uses of such rows
    removed: frozenset[str] = frozenset()  # biases that what follows takes out again
    told: tuple[Judged, ...] = ()  # the uses as the findings have them, once constants are mended that these name


def derive(
    align: Callable[[Third | None], Aligned],
    known: Callable[[Mapping[str, Init], Aligned], Mapping[str, Init]],
    read: Callable[[Program], Program],
    judged: Callable[[Program, Measured], tuple[Explanation, list[Discrepancy]]],
    models: tuple[nn.Module, nn.Module],
    draws: Draws,
    trained: Mapping[str, Trained],
    readout_bound: float,
    third: Callable[[], Third | None],
    without_zeros: Callable[[], Gradients],
) -> Scaling:
    """Align, measure the init, lower, judge.

    align, known, read, judged: as the axis does it. third: records further along it, where two probes leave constants
    in doubt. without_zeros: the gradients of models that start nowhere at zero, where those of the first step are zero.
    """
    aligned = align(None)
    named = [dict(model.named_parameters()) for model in models]
    measured = canonical(measure(named, draws, aligned.sizes.unit, growing_dims(models, aligned)), aligned)
    inits = known(with_signs(measured, aligned), aligned)
    lowered = settled(aligned, starts_of(inits), align, third)
    apart = taken_apart(lowered)
    row_inits = measure_rows(apart, named, draws) if apart is not None else {}
    inits = {**inits, **_of_most_rows(apart, row_inits)}
    program = read(lowered)
    trained = canonical(trained, aligned)
    biases, gradients = Biases(program), (aligned.narrow.grad_rms, aligned.wide.grad_rms)
    held = Measured(inits, trained, readout_bound, biases.removed(gradients))
    found, discrepancies = judged(program, held)
    if (discrepancies and biases.untold(gradients)) or biases.by_chance(gradients):
        again = without_zeros()
        held = replace(held, removed=biases.removed(again) if again else held.removed)
        found, discrepancies = judged(program, held)
    of_rows: tuple[Judged, ...] = ()
    if apart is not None:
        by_rows, discrepancies = judged(read(apart.program), replace(held, inits={**inits, **row_inits}))
        of_rows = tuple(j for j in by_rows.judged if j.use.rows)
    known_of = {**accounts(program, found.ideal), **_judged_as_one(apart)}
    return Scaling(
        program.aligned, program, found.ideal, found.blame, inits, trained, found.judged, tuple(discrepancies),
        known_of, apart, row_inits, of_rows, held.removed, found.told or found.judged,
    )  # fmt: skip


def measure_rows(
    apart: TakenApart,
    named: Sequence[Mapping[str, torch.Tensor]],
    draws: Draws,
) -> dict[str, Init]:
    """The inits of rows that are used by themselves, by the names that they go by."""
    aligned = apart.program.aligned
    names: dict[str, str] = {}  # of a shared parameter, the one that is drawn
    for name, node in aligned.narrow.params.items():
        if name in named[0]:
            names.setdefault(node.meta["param"], name)

    def rows(parameters: Mapping[str, torch.Tensor], probe: int) -> dict[str, torch.Tensor]:
        return {key: part.of(parameters[names[part.tensor]], probe) for key, part in apart.parts.items()}

    def drawn(probe: int, number: int, wanted: Collection[str] | None) -> dict[str, torch.Tensor]:
        if probe > 1:
            raise UserError("which rows are used by themselves is known at two probes alone")
        return rows(draws(probe, number, None), probe)

    return measure([rows(each, probe) for probe, each in enumerate(named)], drawn, aligned.sizes.unit, {})


def _judged_as_one(apart: TakenApart | None) -> dict[str, Account]:
    """Parameters of which some rows need what others do not, and which could not be told apart in the program."""
    why = "some of its outputs grow with the width and some do not, and how they are read apart is not understood"
    return {name: Account("not judged", why, op) for name, op in apart.whole.items()} if apart is not None else {}


def _of_most_rows(apart: TakenApart | None, inits: Mapping[str, Init]) -> dict[str, Init]:
    """What parameters of which some rows are used by themselves start like: as the rows do that grow in number."""
    parts = sorted(apart.parts.values(), key=lambda part: part.narrow[1] - part.narrow[0]) if apart is not None else ()
    return {part.tensor: inits[part.name] for part in parts if part.e > 0 and part.name in inits}


def settled(
    aligned: Aligned, starts: Starts, align: Callable[[Third | None], Aligned], third: Callable[[], Third | None]
) -> Program:
    """The program of aligned recordings; by three of them, where two leave constants in doubt and there is a third."""
    program = lower(aligned, starts)
    further = third() if program.doubtful else None
    return program if further is None else lower(align(further), starts)


def starts_of(inits: Mapping[str, Init]) -> dict[str, float | None]:
    """The exponents that parameters start with."""
    return {name: init.exponent for name, init in inits.items()}


def canonical(by_name: Mapping[str, T], aligned: Aligned) -> dict[str, T]:
    """Keyed by the one name that the graph uses for a shared parameter."""
    out: dict[str, T] = {}
    for name, value in by_name.items():
        node = aligned.narrow.params.get(name)
        out.setdefault(node.meta["param"] if node is not None else name, value)
    return out


def growing_dims(models: tuple[nn.Module, nn.Module], aligned: Aligned) -> dict[str, tuple[tuple[float, float], ...]]:
    """Raw and ideal growth exponents of what an init may go by: the dims that grow, and fan_in + fan_out (Glorot)."""
    wide = dict(models[1].named_parameters())
    out: dict[str, tuple[tuple[float, float], ...]] = {}
    for name, parameter in models[0].named_parameters():
        other = wide.get(name)
        if other is not None and len(other.shape) == len(parameter.shape):
            pairs = list(zip(parameter.shape, other.shape, strict=True))
            grown = [(a, b, aligned.sizes(a, b)) for a, b in pairs if b > a > 0]
            for (a, b), (c, d) in (pairs[:2], pairs[-2:]) if len(pairs) > 1 and len(grown) == 1 else ():
                grown.append((a + c, b + d, grown[0][2]))
            out[name] = tuple((math.log(b / a) / aligned.sizes.unit, exponent) for a, b, exponent in grown if b > a)
    return out
