"""The hyperparameters that can be swept (TP5, arXiv 2203.03466, Table 2 and sections F.1 to F.4). Free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from muaudit.errors import UserError
from muaudit.suggest import nearest
from muaudit.sweep.ranges import parse_values


@dataclass(frozen=True)
class Knob:
    """One hyperparameter. where: "optimizer" (a key of its groups), "rate" (a factor on the learning rate of some
    parameters), "init", "forward" or "training" (what happens between backward and step); meaning: for the help."""

    name: str
    where: str
    meaning: str

    def axis(self, value: float) -> float:
        """Where a value stands on the axis that optima are fitted on: log2 of it; of 1 − β for momenta."""
        if self.name in ("beta1", "beta2", "momentum"):
            return -math.log2(1 - value)
        return math.log2(value) if value > 0 else -math.inf

    def value(self, axis: float) -> float:
        """The value at a place on that axis."""
        return float(1 - 2.0**-axis if self.name in ("beta1", "beta2", "momentum") else 2.0**axis)


KNOBS = {
    knob.name: knob
    for knob in (
        Knob("lr", "optimizer", "learning rate"),
        Knob("weight_decay", "optimizer", "weight decay"),
        Knob("beta1", "optimizer", "Adam's first beta"),
        Knob("beta2", "optimizer", "Adam's second beta"),
        Knob("momentum", "optimizer", "momentum"),
        Knob("eps", "optimizer", "eps"),
        Knob("clip", "training", "largest norm of a gradient"),
        Knob("init", "init", "factor on the initialization of every matrix"),
        Knob("readout", "forward", "multiplier of the readout"),
        Knob("attention", "forward", "multiplier of the attention logits"),
        Knob("embedding", "forward", "multiplier of the embeddings"),
        Knob("embedding_lr", "rate", "factor on the learning rate of the embeddings"),
        Knob("gain_lr", "rate", "factor on the learning rate of all gains"),
        Knob("bias_lr", "rate", "factor on the learning rate of all biases"),
    )
}
_ALIASES = {"wd": "weight_decay", "init_scale": "init", "output": "readout", "readout_mult": "readout",
            "attn": "attention", "attn_mult": "attention", "emb": "embedding", "emb_mult": "embedding",
            "emb_lr": "embedding_lr"}  # fmt: skip


def parse_hps(texts: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """`--hp readout=2^-4..2^4`, repeatable, to name → ascending values. Raises UserError."""
    found: dict[str, tuple[float, ...]] = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals:
            raise UserError(f"--hp expects NAME=VALUES, found {text!r}", "for example --hp readout=2^-4..2^4")
        name = _ALIASES.get(name, name)
        if name == "schedule":
            raise UserError("--hp schedule: schedules have a flag of their own", f"--schedule {values}")
        if name not in KNOBS:
            raise UserError(f"--hp: unknown hyperparameter {name!r}", nearest(name, KNOBS, "hyperparameters"))
        if name == "lr":
            raise UserError("--hp lr: the learning rate has a flag of its own", f"--lr {values}")
        if name in found:
            raise UserError(f"--hp names {name} twice", "give all its values at once")
        parsed = parse_values(values, f"--hp {name}", zero=name in ("weight_decay", "momentum", "beta1", "beta2"))
        if name in ("momentum", "beta1", "beta2") and max(parsed) >= 1:
            raise UserError(f"--hp {name} expects values below 1, found {max(parsed):g}")
        found[name] = parsed
    return found
