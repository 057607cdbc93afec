"""From two recordings to everything the report needs: the pipeline of the analysis, top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from ..findings.discrepancy import Discrepancy
from ..judge.blame import Blame
from ..judge.edits import Judged
from ..judge.explanation import Explanation, Measured
from ..optimizers.trained import Trained
from ..program.lower import Program, lower
from ..program.starts import Starts
from ..solve.uses import Ideal
from ..trace.align import Aligned
from ..trace.inits import Init, measure
from .axis import Third
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


def derive(
    align: Callable[[Third | None], Aligned],
    known: Callable[[Mapping[str, Init], Aligned], Mapping[str, Init]],
    read: Callable[[Program], Program],
    judged: Callable[[Program, Measured], tuple[Explanation, list[Discrepancy]]],
    models: tuple[nn.Module, nn.Module],
    draws: Callable[[int, int], Mapping[str, torch.Tensor]],
    trained: Mapping[str, Trained],
    readout_bound: float,
    third: Callable[[], Third | None],
) -> Scaling:
    """Align, measure the init, lower, judge.

    align, known, read, judged: as the axis does it. third: records further along it, where two probes leave constants
    in doubt.
    """
    aligned = align(None)
    inits = known(
        canonical(measure(models, draws, aligned.sizes.unit, growing_dims(models, aligned)), aligned), aligned
    )
    program = read(settled(aligned, starts_of(inits), align, third))
    trained = canonical(trained, aligned)
    found, discrepancies = judged(program, Measured(inits, trained, readout_bound))
    return Scaling(
        program.aligned, program, found.ideal, found.blame, inits, trained, found.judged, tuple(discrepancies),
        accounts(program, found.ideal),
    )  # fmt: skip


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
