"""What an optimizer does to each parameter: its family and the exponents of its settings.

How a step's size follows from the learning rate (DESIGN table by optimizer; TP5 App. B.3, arXiv 2203.03466):

- adam-like (Adam, AdamW, NAdam, RMSProp, Adagrad, Adadelta excluded, Lion, sign methods, Adafactor without parameter
  scaling): an entry moves by the learning rate.
- sgd: by the learning rate times the gradient.
- norm-scaled (LARS, LAMB, Adafactor with parameter scaling): by the learning rate times the size of the parameter.
- muon: the update is orthogonalised, so its spectral norm is the learning rate times a factor of the shape.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .constants import snap
from .muon import is_muon_group, mode_of

if TYPE_CHECKING:
    import torch
    from torch import nn

_FAMILIES = {
    "adam": ("adam", "adamw", "nadam", "radam", "adamax", "amsgrad", "rmsprop", "adagrad", "lion", "signsgd", "sign",
             "adan", "adabelief", "muadam", "muadamw", "fusedadam", "adamw8bit", "adam8bit", "adamp", "stableadamw",
             "adopt",
             "cautiousadamw", "ademamix", "sophia", "sophiag"),
    "sgd": ("sgd", "musgd", "asgd", "sgdw", "momentumsgd"),
    "lamb": ("lamb", "lars", "larc", "fusedlamb"),
    "muon": ("muon", "singledevicemuon", "muonwithauxadam", "singledevicemuonwithauxadam", "distributedmuon", "adamuon",
             "normuon"),
}  # fmt: skip
_BY_NAME = {name: family for family, names in _FAMILIES.items() for name in names}


@dataclass(frozen=True)
class Trained:
    """How one parameter is trained. Exponents are of the settings of its group; None where one is zero or absent.

    family: adam | sgd | lamb | muon | unknown. adjust: a Muon variant's scale mode.
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


def family_of(optimizer: Any) -> str:
    """The family of an optimizer class, by its own name, or a base class's where it makes that one's steps."""
    for cls in type(optimizer).__mro__:
        name = cls.__name__.lower().replace("_", "")
        if name == "adafactor":
            return "lamb" if getattr(optimizer, "defaults", {}).get("scale_parameter", True) else "adam"
        if name in _BY_NAME:
            return _BY_NAME[name]
        if _own_step(cls):
            break
    return "unknown"


def _own_step(cls: type) -> bool:
    """Whether a class has a `step` that does not call the one of its base class."""
    step = inspect.unwrap(cls.__dict__["step"]) if "step" in cls.__dict__ else None
    return inspect.isfunction(step) and "super" not in step.__code__.co_names


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
    family, mode = family_of(optimizer), ""
    if family == "muon" and not is_muon_group(g1):
        family = "adam"
    elif family == "muon":
        mode = mode_of(optimizer, g1)
        family = "muon" if mode else "unknown"  # by which power of its shape it scales cannot be read
    decoupled = _decoupled(optimizer, g1)
    decay = _exponent(wd1 * lr1, wd2 * lr2, unit, units)[0] if decoupled else _exponent(wd1, wd2, unit, units)[0]
    return Trained(
        family, type(optimizer).__name__, lr1, exponent, raw, (wd1, wd2), decay,
        (eps1, eps2), _exponent(eps1, eps2, unit, units)[0], decoupled, mode,
    )  # fmt: skip


def _eps(group: Mapping[str, Any]) -> float:
    eps = group.get("eps", 0.0)
    return float(eps) if isinstance(eps, (int, float)) else 0.0


def _decoupled(optimizer: Any, group: Mapping[str, Any]) -> bool:
    names = {cls.__name__.lower() for cls in type(optimizer).__mro__}
    return bool(group.get("decoupled_weight_decay")) or any(
        n.endswith("w") or n in ("lion", "adafactor") or "muon" in n for n in names
    )
