"""What training says about a model that the equations call right.

alike  The model trains as the same network in Table 3, to rounding, at another width than the base. By Lemma J.1 (TP5,
       arXiv 2203.03466) it must: this holds every constant, init and learning rate against the equations, exactly.
grows  In Table 3, no tensor's own effect grows with width. After two joint steps, one tiny step is taken with each
       tensor alone, and the change of the outputs is measured at several widths. Falling is not held against a model:
       what sums over width into a finite dim (readouts, routers, attention) starts out at n^-1/2 of what it becomes,
       and so does the effect of all that is read through it.
"""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import torch

from .model import Model

ELSEWHERE = 96  # no base
ROUNDING = 1e-5  # of float64, through a few steps that divide by the size of gradients
WIDTHS, SEEDS = (64, 128, 256), 3
WIDER, MORE = (64, 128, 256, 512), 16  # for a second look at what seems to grow: seeds differ by a factor of two
GROWS = 0.4  # exponents are multiples of 1/2 here
NONE = 1e-9  # share of the median gradient that is rounding in float64
LEAST = 1e-20  # of gradients, far above the 1e-30 of the models' eps
STEPS, MOVED, TINY = 2, 0.3, 1e-5  # joint steps, of which the first moves the outputs of the narrowest by about this


def trained(model: Model) -> dict[str, object]:
    """alike and grows, as yes or no, and what was measured."""
    distance = apart(model)
    large = _growing(slopes(model.in_table_3(), WIDTHS, SEEDS))
    if large:
        large = {n: s for n, s in _growing(slopes(model.in_table_3(), WIDER, MORE)).items() if n in large}
    alike = "diverged" if math.isnan(distance) else "yes" if distance < ROUNDING else "no"
    return {"alike": alike, "grows": "yes" if large else "no", "measured": f"apart by {distance:.1e}, slopes {large}"}


def apart(model: Model, seed: int = 0, steps: int = 4) -> float:
    """How far the outputs in training are from those of the same network in Table 3, relative to their size."""
    runs = [_run(m.text(), ELSEWHERE, seed, steps) for m in (model, model.in_table_3())]
    return ((runs[0] - runs[1]).abs().max() / runs[1].abs().max()).item()


def can_start(model: Model, widths: tuple[int, ...] = (16, 32)) -> bool:
    """Whether the loss before any training is a number, all gradients are, and none is so small that an eps counts.

    Squares of squares without a norm leave float32 at either end.
    """
    space = _space(model.text())
    for width in widths:
        made, x, _ = _made(space, width, 0, 1.0)
        value = space["loss"](made(x), x)
        if not value.isfinite():
            return False
        value.backward()
        sizes = [float(p.grad.abs().max()) for p in made.parameters() if p.grad is not None]
        if not all(size == 0 or LEAST < size < math.inf for size in sizes):
            return False
    return True


def gradients(model: Model) -> list[dict[str, float]]:
    """Tensor → root mean square of its gradient at either probe; after a few steps, of those that are zero at first."""
    space, found = _space(model.text()), []
    with _Float64():
        for width in model.widths:
            made, x, optimizer = _made(space, width, 0, 1.0)
            sizes: dict[str, float] = {}
            for _ in range(1 + STEPS):
                _step(space, made, x, optimizer)
                for name, p in made.named_parameters():
                    size = 0.0 if p.grad is None else float(p.grad.square().mean().sqrt())
                    sizes[name] = sizes.get(name) or size
            found.append(sizes)
    return found


def removed(model: Model) -> list[str]:
    """The biases that a batch norm takes out again: their gradient is rounding."""
    if "BatchNorm" not in model.text():
        return []
    probes = gradients(model)
    vectors = [t.name for t in model.truth.tensors.values() if not t.k]
    return [name for name in vectors if all(sizes[name] < NONE * median(sizes.values()) for sizes in probes)]


def _run(text: str, width: int, seed: int, steps: int) -> torch.Tensor:
    """The outputs before each of some steps, and after the last."""
    space = _space(text)
    with _Float64():
        model, x, optimizer = _made(space, width, seed, 0.1)
        found = []
        for _ in range(steps):
            found.append(_outputs(model, x).detach())
            _step(space, model, x, optimizer)
        return torch.stack([*found, _outputs(model, x).detach()])


def _growing(measured: dict[str, float]) -> dict[str, float]:
    return {name: round(slope, 2) for name, slope in measured.items() if slope > GROWS}


def slopes(model: Model, widths: tuple[int, ...], seeds: int) -> dict[str, float]:
    """Tensor → slope of log(change of the outputs by a step of it alone) over log(width)."""
    space = _space(model.text())
    with _Float64():
        faster = _pace(space, widths[0])
        effects = [[_effects(space, width, seed, faster) for seed in range(seeds)] for width in widths]
    # over seeds the root mean square: a run in which everything is dead (relu in a layer of six) says nothing
    logs = {n: [math.log(sum(e[n] ** 2 for e in runs) / seeds) / 2 for runs in effects] for n in effects[0][0]}
    steps = [math.log(w) for w in widths]
    return {name: _slope(steps, values) for name, values in logs.items()}


def _pace(space: dict[str, Any], width: int) -> float:
    """The factor on all learning rates with which one step moves the outputs by about `MOVED`."""
    factor = 2.0**12
    while factor > 2.0**-12:
        model, x, optimizer = _made(space, width, 0, factor)
        start = _outputs(model, x).detach()
        _step(space, model, x, optimizer)
        if (_outputs(model, x) - start).square().mean().sqrt().item() < MOVED:
            break
        factor /= 2
    return factor


def _effects(space: dict[str, Any], width: int, seed: int, faster: float) -> dict[str, float]:
    """How far a tiny step of each tensor alone moves the outputs, in root mean square."""
    model, x, optimizer = _made(space, width, seed, faster)
    for _ in range(STEPS):
        _step(space, model, x, optimizer)
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
            _optimizer(space, model, TINY).step()
            moved = (_outputs(model, x) - start).square().mean().sqrt().item()
            parameter.copy_(kept)
            found[name] = moved if math.isfinite(moved) and moved > 0 else 1e-30
    return found


def _space(text: str) -> dict[str, Any]:
    space: dict[str, Any] = {}
    exec(compile(text, "<generated>", "exec"), space)
    return space


def _made(space: dict[str, Any], width: int, seed: int, factor: float) -> tuple[Any, torch.Tensor, Any]:
    torch.manual_seed(seed)
    model = space["build"](width)
    return model, space["batch"](width), _optimizer(space, model, factor)


def _optimizer(space: dict[str, Any], model: Any, factor: float) -> Any:
    optimizer = space["optimizer"](model)
    for group in optimizer.param_groups:
        group["lr"] *= factor
    return optimizer


def _step(space: dict[str, Any], model: Any, x: torch.Tensor, optimizer: Any) -> None:
    optimizer.zero_grad()
    space["loss"](model(x), x).backward()
    optimizer.step()


def _outputs(model: Any, x: Any) -> torch.Tensor:
    out = model(x)
    return torch.cat([o.flatten() for o in out]) if isinstance(out, tuple) else out.flatten()


def _slope(xs: list[float], ys: list[float]) -> float:
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum((x - mean_x) ** 2 for x in xs)


class _Float64:
    """float64 as the default dtype while it is entered."""

    def __enter__(self) -> None:
        self.before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)

    def __exit__(self, *_: object) -> None:
        torch.set_default_dtype(self.before)
