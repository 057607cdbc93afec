"""The analysis behind an audit, kept whole: the planner needs the equations, not the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..audit import SEED, record_target
from ..capture.definitions import definitions
from ..capture.kernels import probe_kernels
from ..errors import UserError
from ..evidence import require_evidence
from ..optimizers import UNKNOWN, family_of
from ..scaling import optimizers
from ..scaling.derive import Scaling, derive
from ..targets.probe import Target

if TYPE_CHECKING:
    import torch


def analyse(target: Target, *, readout_bound: float = -1.0, seed: int = SEED) -> Scaling:
    """Record the target at its two probes and derive what every use of every tensor needs.

    Raises:
        UserError: the user's code raised, its optimizer is not known, or no hidden layer grows with the width.
    """
    sizes = target.sizes(0), target.sizes(1)
    with probe_kernels():
        with definitions() as defined:
            narrow = target.build(sizes[0], seed)
        models = narrow, target.build(sizes[1], seed)
        recordings = record_target(target, models[0], sizes[0], seed), record_target(target, models[1], sizes[1], seed)
        ratios = [axis.probes[1] / axis.probes[0] for axis in target.axes]
        made = target.optimizer(models[0], sizes[0]), target.optimizer(models[1], sizes[1])
        _refuse_unknown(made[0])
        scaling = derive(
            recordings,
            ratios,
            models,
            lambda probe, draw: target.build(target.sizes(probe), seed + 1000 + draw),
            optimizers.read(made, models, ratios),
            readout_bound,
        )
    require_evidence(target, scaling, defined.of(models[0]))
    return scaling


def parts(optimizer: Any) -> list[torch.optim.Optimizer]:
    """The optimizers behind one: itself, those that a list or a wrapper holds, or none."""
    if optimizer is None:
        return []
    held = optimizer if isinstance(optimizer, (list, tuple)) else getattr(optimizer, "optimizers", None)
    return list(held) if isinstance(held, (list, tuple)) else [optimizer]


def name_of(optimizer: Any) -> str:
    """`adamw`; `muon+adamw` for several."""
    return "+".join(dict.fromkeys(type(part).__name__.lower() for part in parts(optimizer)))


def _refuse_unknown(optimizer: torch.optim.Optimizer) -> None:
    for part in parts(optimizer):
        if family_of(part) == UNKNOWN:
            raise UserError(
                f"do not know how {type(part).__name__} turns a learning rate into a step, so no plan can be made",
                "plan for a known one with --optimizer, e.g. --optimizer adamw",
            )
