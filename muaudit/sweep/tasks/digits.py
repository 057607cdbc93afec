"""scikit-learn's handwritten digits: 1797 images of 8 × 8 pixels in ten classes, standardized."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.nn import functional as F

from ...errors import UserError
from ...targets.probe import Inputs, Target
from .data_and_loss import SweepTask
from .fitting import Call, classified, misfit, narrow_call

SIDE, CLASSES, SEED = 8, 10, 0xD161
HELD_OUT = 360
"""Images that are not trained on, a fifth."""


def digits_task(target: Target, batch_size: int) -> SweepTask:
    """Tell digits apart. Raises UserError without scikit-learn, or where the target takes no such images."""
    images, labels = _digits()
    call = narrow_call(target, "digits", floating=True)
    x = _shaped(target, call, images)
    output = call.output(Inputs((x[:2],)))
    if output is None or output.dim() != 2 or output.shape[-1] < CLASSES:
        found = "nothing" if output is None else f"a tensor of shape {tuple(output.shape)}"
        raise misfit(target, "digits", f"{target.label} returned {found}, expected (2, {CLASSES})", call)

    mixed = torch.randperm(len(x), generator=torch.Generator().manual_seed(SEED))
    kept, trained = mixed[:HELD_OUT], mixed[HELD_OUT:]

    def batches(sizes: Mapping[str, int], seed: int) -> Iterator[Inputs]:
        generator = torch.Generator().manual_seed(SEED + seed)
        count = sizes.get("batch", batch_size)
        while True:
            order = trained[torch.randperm(len(trained), generator=generator)]
            for rows in torch.split(order, count)[: max(1, len(trained) // count)]:
                yield Inputs((x[rows],), {}, {"targets": labels[rows]})

    def held_out(sizes: Mapping[str, int]) -> list[Inputs]:
        return [Inputs((x[rows],), {}, {"targets": labels[rows]}) for rows in torch.split(kept, HELD_OUT // 3)]

    return SweepTask(
        "digits",
        f"scikit-learn's digits, {batch_size} at a time",
        {"data": "digits", "batch": batch_size, "inputs": list(x.shape[1:]), "kept": HELD_OUT},
        batches,
        classified(lambda logits, wanted: F.cross_entropy(logits.float(), wanted)),
        held_out=held_out,
    )


def _shaped(target: Target, call: Call, images: torch.Tensor) -> torch.Tensor:
    """The images as the model takes them: flat, or (channels, 8, 8), or enlarged to its own side."""
    shape = tuple(call.first.shape[1:])
    if len(shape) == 1:
        if shape[0] != SIDE * SIDE:
            names = "the argument for the input's size"
            raise UserError(
                f"--data digits has {SIDE * SIDE} pixels, {target.label} takes {shape[0]} inputs",
                f"set {names}, for example --set d_in={SIDE * SIDE}",
            )
        return images.reshape(len(images), -1)
    if len(shape) != 3:
        raise misfit(target, "digits", f"{target.label} takes inputs of shape {shape}, expected images", call)
    stacked = images.unsqueeze(1).expand(-1, shape[0], -1, -1).contiguous()
    if call.output(Inputs((stacked[:2],))) is not None:
        return stacked
    return F.interpolate(stacked, size=shape[1:], mode="nearest")


@functools.lru_cache(maxsize=1)
def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError(
            "--data digits needs scikit-learn", "pip install 'muaudit[digits]', or --data teacher"
        ) from error
    found: Any = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32)
    return (images - images.mean()) / images.std(), torch.tensor(found.target, dtype=torch.int64)
