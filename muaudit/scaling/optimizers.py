"""What the optimizer does to each parameter: its step law and the exponents of its settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..optimizers import UNKNOWN, Law, known, law_of
from ..optimizers.orthogonal import adjustment, family_in, mode_of
from ..program.exponents import snap

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Trained:
    """How one parameter is trained. Exponents are of the settings of its group; None where one is zero or absent.

    family: a name in `optimizers.families`, or "unknown". adjust: a Muon variant's scale mode.
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

    @property
    def law(self) -> Law:
        """How its steps follow from the learning rate; Adam's where that is not known."""
        return law_of(self.family)

    @property
    def entrywise(self) -> bool:
        """Whether it is known that an entry moves by the learning rate, as under Adam."""
        return self.family != UNKNOWN and self.law == Law()

    def factor(self, dims: Sequence[float]) -> float:
        """The exponent of what an orthogonalising optimizer multiplies the rate of a parameter of these dims by."""
        return adjustment(self.adjust, dims)


def read(
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
    models: tuple[nn.Module, nn.Module],
    ratios: Sequence[float],
) -> dict[str, Trained]:
    """The settings of every parameter name, from the optimizers of both probes; `ratios` of the width arguments."""
    unit = math.log(ratios[0])
    units = [math.log(r) / unit for r in ratios if r != 1]
    groups = [_groups_by_name(o, m) for o, m in zip(optimizers, models, strict=True)]
    out: dict[str, Trained] = {}
    for name, narrow in groups[0].items():
        wide = groups[1].get(name)
        if wide is not None:
            out[name] = _trained(narrow, wide, unit, units)
    return out


def _groups_by_name(optimizer: Any, model: nn.Module) -> dict[str, tuple[Any, dict[str, Any], float]]:
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    parts = getattr(optimizer, "optimizers", None)  # wrappers that hold several optimizers
    found: dict[str, tuple[Any, dict[str, Any], float]] = {}
    for part in parts if isinstance(parts, (list, tuple)) else [optimizer]:
        for group, factor in zip(part.param_groups, pending_scale(part.param_groups), strict=True):
            for parameter in group["params"]:
                for name in names.get(id(parameter), ()) if parameter.requires_grad else ():
                    found[name] = (part, group, factor)
    return found


def pending_scale(groups: list[dict[str, Any]]) -> list[float]:
    """The factor on each group's `lr` that its `lr_scale` (or `lr_mult`) holds and `lr` does not hold yet."""
    if _scale_already_applied(groups):
        return [1.0] * len(groups)
    return [float(group.get("lr_scale", group.get("lr_mult", 1.0))) for group in groups]


def _scale_already_applied(groups: list[dict[str, Any]]) -> bool:
    """Whether `lr` holds `lr_scale` already: lr / lr_scale is then the same in all groups."""
    pairs = [(float(g["lr"]), float(g.get("lr_scale", g.get("lr_mult", 1.0)))) for g in groups]
    if len({scale for _, scale in pairs}) <= 1:
        return len({lr for lr, _ in pairs}) > 1
    bases = [lr / scale for lr, scale in pairs if scale]
    return max(bases) - min(bases) <= 1e-6 * max(bases) if bases else True


def _exponent(narrow: float, wide: float, unit: float, units: Sequence[float]) -> tuple[float | None, float]:
    if narrow == 0 or wide == 0:
        return None, 0.0
    raw = math.log(abs(wide) / abs(narrow)) / unit
    return snap(raw, 0.25, 0.03, units), raw


def _trained(
    narrow: tuple[Any, dict[str, Any], float],
    wide: tuple[Any, dict[str, Any], float],
    unit: float,
    units: Sequence[float],
) -> Trained:
    (optimizer, g1, f1), (_, g2, f2) = narrow, wide
    lr1, lr2 = float(g1["lr"]) * f1, float(g2["lr"]) * f2
    exponent, raw = _exponent(lr1, lr2, unit, units)
    wd1, wd2 = float(g1.get("weight_decay", 0.0) or 0.0), float(g2.get("weight_decay", 0.0) or 0.0)
    eps1, eps2 = _eps(g1), _eps(g2)
    family, mode = _family(optimizer, g1)
    decoupled = _decoupled(optimizer, g1)
    decay = _exponent(wd1 * lr1, wd2 * lr2, unit, units)[0] if decoupled else _exponent(wd1, wd2, unit, units)[0]
    return Trained(
        family, type(optimizer).__name__, lr1, exponent, raw, (wd1, wd2), decay,
        (eps1, eps2), _exponent(eps1, eps2, unit, units)[0], decoupled, mode,
    )  # fmt: skip


def _eps(group: Mapping[str, Any]) -> float:
    eps = group.get("eps", 0.0)
    return float(eps) if isinstance(eps, (int, float)) else 0.0


def _family(optimizer: Any, group: Mapping[str, Any]) -> tuple[str, str]:
    """(family, scale mode) of one group; not known where the mode of an orthogonalising optimizer cannot be read."""
    found = known(optimizer)
    if found is None or found[0].law is None:
        return UNKNOWN, ""
    name = family_in(group) if found[0].law.spectral else found[0].name
    if not law_of(name).spectral:
        return name, ""
    mode = mode_of(optimizer, group)
    return (name, mode) if mode else (UNKNOWN, "")


def _decoupled(optimizer: Any, group: Mapping[str, Any]) -> bool:
    found = known(optimizer)
    return bool(group.get("decoupled_weight_decay")) or (found is not None and found[1].decoupled)
