"""Synthetic regression: a student learns what a fixed random network of one hidden layer says about Gaussian inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch.nn import functional as F

from ...targets.probe import Inputs, Target
from .data_and_loss import SweepTask
from .fitting import classified, misfit, narrow_call

HIDDEN, SEED = 64, 0x7EAC


def teacher_task(target: Target, batch_size: int) -> SweepTask:
    """Learn the teacher's outputs by squared error. Raises UserError where the output has another form."""
    call = narrow_call(target, "teacher", floating=True)
    shape = tuple(call.first.shape[1:])
    output = call.output(Inputs((torch.zeros((2, *shape)),)))
    if output is None or output.dim() != 2 or output.shape[0] != 2:
        found = "nothing" if output is None else f"a tensor of shape {tuple(output.shape)}"
        raise misfit(target, "teacher", f"{target.label} returned {found}, expected (2, outputs)", call)
    outputs = int(output.shape[-1])
    features = call.first[0].numel()
    generator = torch.Generator().manual_seed(SEED)
    first = torch.randn(features, HIDDEN, generator=generator) * 2 / features**0.5
    second = torch.randn(HIDDEN, outputs, generator=generator) / HIDDEN**0.5

    def batches(sizes: Mapping[str, int], seed: int) -> Iterator[Inputs]:
        drawn = torch.Generator().manual_seed(SEED + 1 + seed)
        count = sizes.get("batch", batch_size)
        while True:
            x = torch.randn((count, *shape), generator=drawn)
            yield Inputs((x,), {}, {"targets": torch.tanh(x.reshape(count, -1) @ first) @ second})

    return SweepTask(
        "teacher",
        f"a random teacher on {features} inputs and {outputs} outputs, {batch_size} samples at a time",
        {"data": "teacher", "batch": batch_size, "inputs": list(shape), "outputs": outputs},
        batches,
        classified(lambda found, wanted: F.mse_loss(found.float(), wanted.float())),
    )
