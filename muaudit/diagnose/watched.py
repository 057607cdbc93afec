"""A training run with all measured that can go wrong: activations, logits, gradients, updates, eps, precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from ..optimizers.several import parts
from ..targets.probe import Inputs, Target
from ..targets.schedulers import stepper
from ..targets.usercode import seed_everything
from ..training.listener import Listener
from ..training.loop import Work, explained
from ..training.lost_runs import is_lost
from ..training.precision import fetched, over, range_of, under
from .recorded import Kind, Quantity, Recorded

Made = tuple[nn.Module, torch.optim.Optimizer]


def watched(
    work: Work, made: Callable[[], Made], precision: str, tick: Callable[[int], None] = lambda step: None
) -> Recorded:
    """Train on the target's batch until the loss is lost or the steps end.

    made: the model and its optimizer on the device. precision: as of the settings. tick: told before every step.

    Raises:
        UserError: the user's code raised.
    """
    with explained(work):
        return _watched(work, *made(), precision, tick)


def _watched(
    work: Work, model: nn.Module, optimizer: torch.optim.Optimizer, precision: str, tick: Callable[[int], None]
) -> Recorded:
    target, settings, inputs = work.target, work.settings, work.inputs()
    model.train()
    step_rates = stepper(target.scheduler, optimizer) if target.scheduler is not None else lambda: None
    taken = _Taken(model, optimizer, precision)
    lost = None
    for step in range(settings.steps + 1):
        tick(step)
        seed_everything(settings.seed + step)
        loss = taken.forward(target, inputs)
        if is_lost(taken.losses):
            lost = step
            break
        if step == settings.steps:
            break
        for part in parts(optimizer):
            part.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        taken.gradients()
        optimizer.step()
        taken.updates()
        step_rates()
    taken.close()
    return Recorded(int(work.sizes[target.axes[0].name]), step, lost, taken.quantities())


class _Taken:
    """The numbers of a run while it goes on."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, precision: str) -> None:
        self.model, self.optimizer = model, optimizer
        self.range = range_of(precision) if precision else None
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.listener = Listener(model)
        self.series: dict[tuple[Kind, str], list[float]] = {}
        self.modules: dict[tuple[Kind, str], str] = {}
        self.first = True
        self.before: dict[str, torch.Tensor] = {}

    @property
    def losses(self) -> list[float]:
        """The loss of every step so far."""
        return self.series["loss", "loss"]

    def close(self) -> None:
        self.listener.close()

    def forward(self, target: Target, inputs: Inputs) -> torch.Tensor:
        """One pass, whose activations are measured; the loss."""
        self.listener.copy = self.first
        with self.listener:
            output = self.model(*inputs.args, **inputs.kwargs)
        loss: torch.Tensor = target.loss(output, inputs)
        self.listener.nodes, self.listener.logit_nodes = {}, []
        self.first, self.listener.known.looked = False, True
        values, shares = self.listener.values, self.listener.shares
        sizes = fetched(_rms(value) / shares[slot].double().sqrt().to(value.device) if slot in shares else _rms(value)
                         for slot, value in enumerate(values))  # fmt: skip
        over = self._over(values)
        for each in self.listener.seen:
            kind: Kind = "logits" if each.logits else "activation"
            self._note(kind, each.name, each.module, sizes[each.slot])
            if over:
                self._note("overflow", each.name, each.module, over[each.slot])
        values.clear()
        self._note("loss", "loss", "", float(loss.detach()))
        return loss

    @torch.no_grad()
    def gradients(self) -> None:
        """Sizes of gradients, how many of their entries vanish, and how many are below Adam's eps."""
        grads = {name: p.grad for name, p in self.parameters.items() if p.grad is not None and not p.grad.is_sparse}
        for name, size in zip(grads, fetched(map(_rms, grads.values())), strict=True):
            self._note("gradient", name, _holder(name), size)
        if self.range is not None and grads:
            largest = max(fetched(grad.abs().max() for grad in grads.values()))
            scale = self.range.scale(largest)
            least = self.range.least / scale
            if self.range.scaled:
                self._note("scale", "loss scale", "", scale)
            for name, share in zip(grads, fetched(under(grad, least) for grad in grads.values()), strict=True):
                self._note("underflow", name, _holder(name), share)
        eps = {
            id(parameter): float(group["eps"]) for part in parts(self.optimizer) for group in part.param_groups
            if isinstance(group.get("eps"), float) for parameter in group["params"]
        }  # fmt: skip
        known = {name: eps[id(self.parameters[name])] for name in grads if id(self.parameters[name]) in eps}
        shares = fetched(under(grads[name], least) for name, least in known.items())
        for name, share in zip(known, shares, strict=True):
            self._note("eps", name, _holder(name), share)
        self.before = {name: self.parameters[name].detach().clone() for name in grads}

    @torch.no_grad()
    def updates(self) -> None:
        """Norms of updates over norms of what they update."""
        changes = fetched(_rms(self.parameters[name] - old) for name, old in self.before.items())
        sizes = fetched(map(_rms, self.before.values()))
        for name, change, size in zip(self.before, changes, sizes, strict=True):
            self._note("update", name, _holder(name), change / size if size else 0.0)

    def quantities(self) -> tuple[Quantity, ...]:
        """All series, in the order in which a step computes them: forwards, the loss, then the parameters."""
        return tuple(Quantity(kind, name, self.modules[kind, name], tuple(values))
                     for (kind, name), values in self.series.items())  # fmt: skip

    def _over(self, values: Iterable[torch.Tensor]) -> list[float]:
        return [] if self.range is None else fetched(over(value, self.range.largest) for value in values)

    def _note(self, kind: Kind, name: str, module: str, value: float) -> None:
        self.series.setdefault((kind, name), []).append(value)
        self.modules.setdefault((kind, name), module)


def _holder(parameter: str) -> str:
    return parameter.rpartition(".")[0]


def _rms(value: torch.Tensor) -> torch.Tensor:
    """Root mean square, in double precision; complex entries by their absolute values."""
    wide = value.detach().to(torch.complex128 if value.is_complex() else torch.float64)
    size: torch.Tensor = torch.linalg.vector_norm(wide) / max(1, value.numel()) ** 0.5
    return size
