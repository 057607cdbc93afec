"""How many runs are trained as one ensemble."""

from __future__ import annotations

import torch

from .variant import SweepVariant

MOST = 32
CPU_PARAMETERS = 120_000
"""On a CPU an ensemble gains where the model is so small that calls cost more than arithmetic: measured, 16 models of
110 000 parameters take 0.8 times as long together as apart, of 200 000 1.5 times (benchmarks/sweep_ensemble.py)."""


def automatic(variant: SweepVariant, width: int, device: str) -> int:
    """As many as pay off here: all that are small on a CPU, as many as fit into half of a GPU's free memory."""
    model, _ = variant.make(width, {}, 0)
    if any(isinstance(module, torch.nn.modules.dropout._DropoutNd) and module.p > 0 for module in model.modules()):
        return 1
    count = sum(parameter.numel() for parameter in model.parameters())
    if torch.device(device).type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # weights, gradients, two moments, the step before it is shortened, activations of about as much again
        return max(1, min(MOST, int(free / 2 // (10 * 4 * count))))
    return MOST if count <= CPU_PARAMETERS else 1
