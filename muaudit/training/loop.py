"""One training run at one width and one seed, measured. All statistics leave the device in one transfer at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import UserError
from ..target.probe import Inputs, Target
from ..target.usercode import seed_everything, user_error
from .meter import Meter
from .settings import DTYPES, Settings

LOSS, GRADIENT, UPDATE = "loss:", "grad:", "update:"


@dataclass
class Run:
    """The numbers of one run. `values`: (name, column of STATISTICS, step) → number."""

    values: dict[tuple[str, int, int], float] = field(default_factory=dict)
    loss: dict[int, float] = field(default_factory=dict)
    parameters: dict[tuple[str, int, int], float] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    logits: frozenset[str] = frozenset()


def train(target: Target, sizes: Mapping[str, int], settings: Settings, seed: int, lr_factor: float) -> Run:
    """Train for `settings.steps` updates on one batch and measure before each, and after the last.

    Raises:
        UserError: the user's code raised.
    """
    device, dtype = torch.device(settings.device), getattr(torch, DTYPES[settings.dtype])
    model = target.build(sizes, seed).to(device=device, dtype=dtype)
    inputs = moved(target.inputs(sizes), device, dtype)
    optimizer = target.optimizer(model, sizes)
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * lr_factor
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    meter = Meter(model, settings.steps)
    try:
        for step in range(settings.steps + 1):
            seed_everything(seed)  # dropout masks stay the same from step to step
            with meter.at(step):
                output = model(*inputs.args, **inputs.kwargs)
            loss: Any = target.loss(output, inputs)
            meter.add(LOSS, 0, loss)
            if step < settings.steps:
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                _update(meter, named, optimizer)
            del output, loss
    except (UserError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        shown = ", ".join(f"{name}={size}" for name, size in sizes.items())
        raise user_error(f"training {target.label} at {shown} on {settings.device}", error) from error
    return _sorted(meter)


def out_of_memory(error: BaseException) -> bool:
    """Whether this says that the device, or the machine, has no memory left."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def moved(inputs: Inputs, device: torch.device, dtype: torch.dtype) -> Inputs:
    """The inputs on the device; floating-point data in the dtype of the run."""
    done: dict[int, torch.Tensor] = {}

    def move(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if id(value) not in done:
                done[id(value)] = value.to(device, dtype if value.is_floating_point() else None)
            return done[id(value)]
        if type(value) in (list, tuple):
            return type(value)(move(item) for item in value)
        if isinstance(value, dict):
            return {key: move(item) for key, item in value.items()}
        return value

    return Inputs(move(inputs.args), move(dict(inputs.kwargs)), move(inputs.raw))


def _update(meter: Meter, named: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """One optimizer step, with the gradients before it and the relative updates after it."""
    trained = {name: p for name, p in named.items() if p.grad is not None and not p.grad.is_sparse}
    names = list(trained)
    with torch.no_grad():
        if not names:
            optimizer.step()
            return
        weights = [p.detach() for p in trained.values()]
        gradients = [p.grad for p in trained.values() if p.grad is not None]
        for name, norm, weight in zip(names, torch._foreach_norm(gradients), weights, strict=True):
            meter.add(GRADIENT + name, 0, norm, weight.numel() ** -0.5)
        before = [weight.clone() for weight in weights]
    optimizer.step()
    with torch.no_grad():
        steps = torch._foreach_norm(torch._foreach_sub([p.detach() for p in trained.values()], before))
        for name, step, norm in zip(names, steps, torch._foreach_norm(before), strict=True):
            meter.add(UPDATE + name, 1, step / norm)


def _sorted(meter: Meter) -> Run:
    run = Run(sizes=meter.sizes, modules=meter.modules, logits=frozenset(meter.from_softmax))
    for name, column, step, number in meter.close():
        if name == LOSS:
            run.loss[step] = number
        elif name.startswith((GRADIENT, UPDATE)):
            run.parameters[name.partition(":")[2], column, step] = number
        else:
            run.values[name, column, step] = number
    return run
