"""The hyperparameters that `--set` gives: their names, and which of them depend on the width. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from muaudit.errors import UserError
from muaudit.suggest import nearest

SCALED = {"lr": "lr", "wd": "weight_decay", "weight_decay": "weight_decay", "eps": "eps"}
"""What a plan scales tensor by tensor, by the names people use."""

CONSTANT = ("beta1", "beta2", "momentum", "dampening", "alpha", "rho", "clip", "dropout", "label_smoothing", "warmup",
            "steps", "batch_size", "init_scale", "readout", "attention", "embedding")  # fmt: skip
"""What stays as it is over width (TP5 Table 2): momenta, clipping, the schedule, dimensionless multipliers."""

WITHOUT_EPS = ("sgd", "muon", "lion")


def parse_values(texts: Iterable[str]) -> dict[str, float]:
    """`lr=3e-3,wd=0.1`, repeatable, to name → value, `wd` being weight_decay. Raises UserError."""
    found: dict[str, float] = {}
    for part in (part for text in texts for part in text.split(",")):
        if not part.strip():
            continue
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise UserError(f"--set expects NAME=VALUE,NAME=VALUE, found {part.strip()!r}", "e.g. --set lr=3e-3,wd=0.1")
        key = SCALED.get(name, name)
        if name not in SCALED and name not in CONSTANT:
            raise UserError(
                f"--set: unknown hyperparameter {name!r}", nearest(name, (*SCALED, *CONSTANT), "hyperparameters")
            )
        if key in found:
            raise UserError(f"--set gives {key} twice")
        found[key] = _number(name, value)
    return found


def check_family(values: Mapping[str, float], optimizer: str) -> None:
    """Raise UserError where the plan's optimizer has no such setting."""
    if "eps" in values and optimizer in WITHOUT_EPS:
        raise UserError(f"--set eps={values['eps']:g}: {optimizer} has no eps", "leave it out")


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"--set: {name} expects a number, found {text!r}", "for example --set lr=3e-3") from None
    if not math.isfinite(value) or value < 0 or (name == "lr" and value == 0):
        raise UserError(f"--set: {name} expects a {'positive' if name == 'lr' else 'non-negative'} number, "
                        f"found {text}")  # fmt: skip
    return value
