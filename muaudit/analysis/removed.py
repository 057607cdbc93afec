"""Biases that what follows takes out again: a batch norm, or the softmax behind the keys. Nothing about them is wrong.

They get no gradient where the weight beside them gets one. Where that gets none either, behind a readout, a query or a
gain that starts at zero, gradients are taken once more, of the same models with random numbers in place of all zeros;
and so they are where a weight starts at zero: a uniform output and as many targets of every class give a bias none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from .. import ops
from ..errors import UserError
from ..ops.products import Convolves
from ..ops.reductions import Normalises
from ..program.lower import Program
from ..program.operands import parameters_in, through_views
from ..program.values import ZERO, Value, readers_of
from ..targets.probe import Target
from ..targets.usercode import attempt, seed_torch
from ..thresholds import WITHOUT_EFFECT
from .axis import Axis
from .probes import record_target

_TRAINING = 5
"""Which argument of torch's batch norms says that they take the batch's own mean."""
_DRAWN = 0.02
"""Of which size numbers are drawn in place of zeros: any will do, as gradients are held against one another."""

Gradients = Sequence[Mapping[str, float]]  # root mean squares by name, at each probe


class Biases:
    """What a program adds to products with weights, by name, each with the names of these weights."""

    def __init__(self, program: Program) -> None:
        self.beside: dict[str, frozenset[str]] = {}
        contracted = _parameters_of([value for value in program.values if value.kind == "contract"])
        self.behind_zero = any(program.starts.get(name) == ZERO for name in contracted)
        otherwise: set[str] = set()  # read by more than batch norms
        readers = readers_of(program.values)
        for value in program.values:
            products = [v for v in map(through_views, value.args) if v.kind in ("contract", "lookup")]
            weights = _parameters_of(products)
            for name in _parameters_of([value]) if value.kind == "join" and weights else ():
                self.beside[name] = self.beside.get(name, frozenset()) | weights
                if not _is_centred(value, readers.get(value, ())):
                    otherwise.add(name)
        self.centred = frozenset(self.beside.keys() - otherwise)

    def removed(self, gradients: Gradients) -> frozenset[str]:
        """Those that get no gradient at any probe, where a weight beside them gets one.

        In front of a batch norm there is none but for rounding, which is much where the samples hardly differ.
        """
        return self.centred | self._without(gradients)

    def _without(self, gradients: Gradients) -> frozenset[str]:
        return frozenset(
            name
            for name, weights in self.beside.items()
            if name not in self.centred
            if all(name in each and each[name] < WITHOUT_EFFECT * _largest(each, weights) for each in gradients)
        )

    def untold(self, gradients: Gradients) -> frozenset[str]:
        """Those beside which nothing gets a gradient at some probe."""
        told = (name for name, w in self.beside.items() if all(_largest(each, w) for each in gradients))
        return frozenset(self.beside.keys() - self.centred.union(told))

    def by_chance(self, gradients: Gradients) -> bool:
        """Whether some may get none only because a weight starts at zero."""
        return self.behind_zero and bool(self._without(gradients))


def _is_centred(value: Value, readers: Sequence[Value]) -> bool:
    """Whether batch norms alone read what a bias for every channel is added to, and take the batch's mean of it."""
    by_channel = len(value.dims) == 2 or isinstance(ops.of(value.op.name), Convolves)
    return by_channel and bool(readers) and all(map(_by_the_batch, readers))


def _by_the_batch(value: Value) -> bool:
    what, taken = ops.of(value.op.name), value.op.narrow.args
    in_training = len(taken) > _TRAINING and taken[_TRAINING] is True
    return value.kind == "norm" and isinstance(what, Normalises) and what.over == "batch" and in_training


def _parameters_of(values: Sequence[Value]) -> frozenset[str]:
    return frozenset(name for v in values for arg in v.args if arg.weight for name in parameters_in(arg))


def _largest(gradients: Mapping[str, float], names: frozenset[str]) -> float:
    return max((gradients.get(name, 0.0) for name in names), default=0.0)


def gradients_without_zeros(target: Target, axis: Axis, seed: int) -> Gradients:
    """Gradients at both probes, of models that start nowhere at zero; nothing where these do not run."""
    found: list[Mapping[str, float]] = []
    for probe in (0, 1):
        sizes = axis.sizes(target, probe)
        try:
            with attempt():
                model = target.build(sizes, seed)
                with _zeros_drawn(model, seed):
                    found.append(record_target(target, model, sizes, seed).grad_rms)
        except UserError:  # the user's code, run with numbers that it does not start with
            return ()
    return found


@contextmanager
def _zeros_drawn(model: nn.Module, seed: int) -> Iterator[None]:
    """Random numbers in place of all zeros of parameters, for as long as this is open: whoever made it may keep it."""
    seed_torch(seed)
    zeros = [(parameter, parameter == 0) for parameter in model.parameters() if parameter.is_floating_point()]
    with torch.no_grad():
        for parameter, zero in zeros:
            parameter.add_(torch.randn_like(parameter) * zero, alpha=_DRAWN)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, zero in zeros:
                parameter.masked_fill_(zero, 0.0)
