"""Train a generated model at several widths in float64: is every tensor's own effect flat, as its equations claim?

After a few joint steps, so that what starts small or at zero has its trained size, one tiny step is taken with each tensor
alone, and the change of the outputs is measured. In a right model no tensor's change grows or falls with width (the third of
the desiderata: TP5, arXiv 2203.03466, App. J.2); in a wrong one some tensor's does, or training blows up.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .model import Model

WIDTHS = (64, 128, 256, 512)
SEEDS = 3
FLAT = 0.3  # two neighbouring exponents that are told apart differ by 1/2; measured slopes of right models scatter by 0.1
STEPS, FASTER, TINY = 5, {"adam": 10.0, "sgd": 2.0}, 1e-5


def slopes(model: Model, widths: tuple[int, ...] = WIDTHS, seeds: int = SEEDS) -> dict[str, float]:
    """Tensor → slope of log(change of the outputs by a step of it alone) over log(width)."""
    space: dict[str, Any] = {}
    exec(compile(model.text(), "<generated>", "exec"), space)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        effects = [[_effects(space, width, seed, FASTER[model.truth.optimizer]) for seed in range(seeds)]
                   for width in widths]  # fmt: skip
    finally:
        torch.set_default_dtype(before)
    logs = {n: [sum(math.log(e[n]) for e in runs) / seeds for runs in effects] for n in effects[0][0]}
    steps = [math.log(w) for w in widths]
    return {name: _slope(steps, values) for name, values in logs.items()}


def _effects(space: dict[str, Any], width: int, seed: int, faster: float) -> dict[str, float]:
    """How far a tiny step of each tensor alone moves the outputs, in root mean square."""
    torch.manual_seed(seed)
    model, x = space["build"](width), space["batch"](width)
    optimizer = _made(space, model, faster)
    for _ in range(STEPS):
        optimizer.zero_grad()
        space["loss"](model(x), x).backward()
        optimizer.step()
    model.zero_grad()
    space["loss"](model(x), x).backward()
    grads = {n: p.grad for n, p in model.named_parameters()}
    found = {}
    with torch.no_grad():
        start = _outputs(model, x)
        for name, parameter in model.named_parameters():
            for n, p in model.named_parameters():
                p.grad = grads[n] if n == name else None
            kept = parameter.clone()
            _made(space, model, TINY).step()
            moved = (_outputs(model, x) - start).square().mean().sqrt().item()
            parameter.copy_(kept)
            found[name] = moved if math.isfinite(moved) and moved > 0 else 1e-30
    return found


def _made(space: dict[str, Any], model: Any, factor: float) -> Any:
    optimizer = space["optimizer"](model)
    for group in optimizer.param_groups:
        group["lr"] *= factor
    return optimizer


def _outputs(model: Any, x: Any) -> torch.Tensor:
    out = model(x)
    return torch.cat([o.flatten() for o in out]) if isinstance(out, tuple) else out.flatten()


def _slope(xs: list[float], ys: list[float]) -> float:
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum((x - mean_x) ** 2 for x in xs)
