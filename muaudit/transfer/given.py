"""The hyperparameters that `--set` gives: their names, and which of them depend on the width. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from muaudit.errors import UserError
from muaudit.optimizers import member
from muaudit.pairs import pairs
from muaudit.suggest import nearest

SCALED = {"lr": "lr", "wd": "weight_decay", "weight_decay": "weight_decay", "eps": "eps"}
"""What a plan scales tensor by tensor, by the names people use."""

CONSTANT = ("beta1", "beta2", "momentum", "dampening", "alpha", "rho", "clip", "dropout", "label_smoothing", "warmup",
            "steps", "batch_size", "init_scale", "readout", "attention", "embedding")  # fmt: skip
"""What stays as it is over width (TP5 Table 2): momenta, clipping, the schedule, dimensionless multipliers."""


def parse_values(texts: Iterable[str]) -> dict[str, float]:
    """`lr=3e-3,wd=0.1`, repeatable, to name → value, `wd` being weight_decay. Raises UserError.

    `muon.lr=0.02` is the value of one of several optimizers.
    """
    found: dict[str, float] = {}
    for part, name, value in pairs(texts):
        if not name:
            raise UserError(f"--set expects NAME=VALUE,NAME=VALUE, found {part!r}", "e.g. --set lr=3e-3,wd=0.1")
        owner, dot, own = name.rpartition(".")
        key = owner + dot + SCALED.get(own, own)
        if own not in SCALED and own not in CONSTANT:
            raise UserError(
                f"--set: unknown hyperparameter {own!r}", nearest(own, (*SCALED, *CONSTANT), "hyperparameters")
            )
        if key in found:
            raise UserError(f"--set gives {key} twice")
        found[key] = _number(own, value)
    return found


def check_family(values: Mapping[str, float], optimizers: Sequence[str]) -> None:
    """Raise UserError where the plan has no such optimizer, or its optimizer no such setting."""
    for key, value in values.items():
        owner, _, name = key.rpartition(".")
        if owner and owner not in optimizers:
            raise UserError(f"--set {key}: the plan has no optimizer {owner}", f"it has {' and '.join(optimizers)}")
        if name == "eps" and all(member(each).without_eps for each in ([owner] if owner else optimizers)):
            raise UserError(f"--set {key}={value:g}: {owner or ' and '.join(optimizers)} has no eps", "leave it out")


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"--set: {name} expects a number, found {text!r}", "for example --set lr=3e-3") from None
    if not math.isfinite(value) or value < 0 or (name == "lr" and value == 0):
        raise UserError(f"--set: {name} expects a {'positive' if name == 'lr' else 'non-negative'} number, "
                        f"found {text}")  # fmt: skip
    return value
