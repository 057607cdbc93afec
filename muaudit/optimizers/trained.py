"""What the optimizer does to each parameter: its step law and the exponents of its settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..findings.exponents import snap
from . import UNKNOWN, Law, law_of
from .declared import declared
from .group_factors import NO_FACTORS, Factors, factors
from .holders import Holder, holders
from .measured import AS_SET, Decay
from .orthogonal import adjustment
from .steps import Shapes, Steps, steps_of
from .treated import Treated
from .varying import Setting, varying


@dataclass(frozen=True)
class Trained:
    """How one parameter is trained. Exponents are of the settings of its group; None where one is zero or absent.

    family: a name in `optimizers.families`, "measured" or "unknown"; reason: why that. adjust: a Muon variant's mode.
    measured, shape: the law and what a shape gives an entry of a step, where these were measured.
    factors: on the group's learning rate, all of which `lr` and its exponents hold. varying: further settings of its
    group that change with width. shared: whether a factor that all gradients decide multiplies every step. decay: what
    was measured of it. free_is_empty: whether its optimizer has a group without decay that holds nothing.
    orthogonal: whether its updates are orthogonalised; pieces: which entries together, all of them where None.
    unread: keys of its group that nothing is known to read, with the exponents of their values.
    """

    family: str
    optimizer: str
    lr: float
    lr_exponent: float | None
    raw_lr_exponent: float
    weight_decay: tuple[float, float] = (0.0, 0.0)
    decay_exponent: float | None = None  # of lr·wd (decoupled) or wd
    eps: tuple[float, float] = (0.0, 0.0)
    eps_exponent: float | None = None
    decoupled: bool = False
    adjust: str = ""
    measured: Law | None = None
    shape: float = 0.0
    reason: str = ""
    factors: Factors = NO_FACTORS
    varying: tuple[Setting, ...] = ()
    shared: bool = False
    decay: Decay = AS_SET
    free_is_empty: bool = False
    orthogonal: bool = False
    pieces: Treated | None = None
    unread: tuple[tuple[str, float], ...] = ()

    @property
    def law(self) -> Law:
        """How its steps follow from the learning rate; Adam's where that is not known."""
        return self.measured or law_of(self.family)

    @property
    def entrywise(self) -> bool:
        """Whether it is known that an entry moves by the learning rate, as under Adam."""
        return self.family != UNKNOWN and self.law == Law() and not self.shape

    def factor(self, dims: Sequence[float]) -> float:
        """The exponent that the shape of a parameter of these dims brings into its steps, beside that of its law."""
        return self.shape if self.measured is not None else adjustment(self.adjust, dims)


def trained_by(
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
    models: tuple[nn.Module, nn.Module],
    ratios: Sequence[float],
) -> dict[str, Trained]:
    """The settings of every parameter name, from the optimizers of both probes; `ratios` of the width arguments."""
    unit = math.log(ratios[0])
    units = [math.log(r) / unit for r in ratios if r != 1]
    held = [holders(o, m) for o, m in zip(optimizers, models, strict=True)]
    both = {name: (narrow, held[1][name]) for name, narrow in held[0].items() if name in held[1]}
    steps = {id(one.optimizer): steps_of(one.optimizer, unit, other.optimizer) for one, other in both.values()}
    found = factors(both, steps)
    return {
        name: _trained(*pair, found[name], steps[id(pair[0].optimizer)], unit, units) for name, pair in both.items()
    }


def _exponent(narrow: float, wide: float, unit: float, units: Sequence[float]) -> tuple[float | None, float]:
    if narrow == 0 or wide == 0:
        return None, 0.0
    raw = math.log(abs(wide) / abs(narrow)) / unit
    return snap(raw, 0.25, 0.03, units), raw


def _trained(
    narrow: Holder, wide: Holder, found: Factors, steps: Steps, unit: float, units: Sequence[float]
) -> Trained:
    g1, g2 = narrow.group, wide.group
    lr1, lr2 = (each.lr * factor for each, factor in zip((narrow, wide), found.both, strict=True))
    exponent, raw = _exponent(lr1, lr2, unit, units)
    wd1, wd2 = float(g1.get("weight_decay", 0.0) or 0.0), float(g2.get("weight_decay", 0.0) or 0.0)
    eps1, eps2 = _eps(g1), _eps(g2)
    shapes = tuple(narrow.parameter.shape), tuple(wide.parameter.shape)
    dims = tuple(_grown(*sizes, unit) for sizes in zip(*shapes, strict=True))
    how = declared(narrow.optimizer, narrow.parameter, g1) or steps.of(narrow.number, shapes, dims)
    taken = [_decay(each, narrow.number, wd, probe, found, steps, shapes) if how.decoupled else wd
             for probe, (each, wd) in enumerate(((narrow, wd1), (wide, wd2)))]  # fmt: skip
    decay = _exponent(taken[0], taken[1], unit, units)[0]
    return Trained(
        how.family, type(narrow.optimizer).__name__, lr1, exponent, raw, (wd1, wd2), decay, (eps1, eps2),
        _exponent(eps1, eps2, unit, units)[0], how.decoupled, how.mode, how.law, how.shape, how.reason, found,
        varying(narrow, wide, found, unit), how.shared, steps.decay_of(narrow.number, shapes), _free_is_empty(narrow),
        how.orthogonal, how.pieces, tuple((key, _exponent(*each, unit, units)[1]) for key, each in found.unread),
    )  # fmt: skip


def _decay(held: Holder, number: int, wd: float, probe: int, found: Factors, steps: Steps, shapes: Shapes) -> float:
    """What decoupled decay takes off a weight at one probe: its setting, times what the step multiplies it by.

    number: of its group in the optimizer whose steps these are, the first probe's.
    """
    size: float = wd * held.lr ** steps.decay_follows(number, shapes, "lr") * found.assumed[probe]
    for key in found.keys:
        size *= float(held.group[key]) ** steps.decay_follows(number, shapes, key)
    return size


def _free_is_empty(held: Holder) -> bool:
    return any(not each["params"] and each.get("weight_decay") == 0.0 for each in held.optimizer.param_groups)


def _grown(narrow: int, wide: int, unit: float) -> float:
    """The exponent of a dim, to a quarter."""
    return round(4 * math.log(wide / narrow) / unit) / 4 if wide > narrow > 0 else 0.0


def _eps(group: Mapping[str, Any]) -> float:
    eps = group.get("eps", 0.0)
    return float(eps) if isinstance(eps, (int, float)) else 0.0
