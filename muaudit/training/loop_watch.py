"""The coordinate check's figures inside a training loop of the user's own: `muaudit.watch(model, optimizer)`.

Every so many steps of the optimizer one forward pass is listened to, and the parameters are held against what they were
before the step. In between nothing is done, and nothing is left on the modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..plan.apply import bare
from ..plan.dry_walk import bare_optimizers
from ..plan.patterns import plain_name
from ..tabular import frame, page
from .lineage import Known
from .listener import Listener
from .sizes import Sizes

_ACTIVATION, _GRADIENT, _UPDATE = "activation", "gradient", "update"
Told = Callable[[int, Mapping[str, float]], None]


class LoopWatch:
    """What was measured so far. `series`: step of the optimizer → name → figure.

    Names are `activation/MODULE` (root mean square of what a module computes, `MODULE.logits` of attention logits),
    `gradient/PARAMETER` (root mean square) and `update/PARAMETER` (norm of a step's update relative to the parameter).
    """

    def __init__(self, model: nn.Module, optimizers: list[torch.optim.Optimizer], every: int, tell: Told) -> None:
        self.series: dict[int, dict[str, float]] = {}
        self._model, self._optimizers, self._every, self._tell = model, optimizers, every, tell
        self._parameters = {plain_name(name): p for name, p in model.named_parameters() if p.requires_grad}
        self._known, self._step, self._sizes = Known(), 0, Sizes()
        self._heard = False
        self._leave: list[Callable[[], None]] = []
        # a module that has a forward hook is listened to by another: one that the pass under way still calls
        self._handles = [model.register_forward_hook(lambda *_: None)]
        self._handles += [model.register_forward_pre_hook(self._before_forward)]
        self._handles += [optimizers[0].register_step_pre_hook(self._before_step)]
        self._handles += [optimizers[-1].register_step_post_hook(self._after_step)]

    def remove(self) -> None:
        """Watch no longer; what was measured stays."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def rows(self) -> list[dict[str, Any]]:
        """A row for every figure."""
        return [
            {"step": step, "of": name.partition("/")[0], "name": name.partition("/")[2], "value": value}
            for step, found in self.series.items()
            for name, value in found.items()
        ]

    def to_frame(self) -> Any:
        """The figures as a pandas DataFrame. Raises UserError where pandas is not installed."""
        return frame(self.rows())

    def __repr__(self) -> str:
        return f"<LoopWatch of {type(self._model).__name__}, {len(self.series)} measured steps>"

    def _repr_html_(self) -> str:
        last = next(reversed(self.series), None)
        return page(f"{self!r}; the last", [row for row in self.rows() if row["step"] == last])

    # -- one step ------------------------------------------------------------------------------------------------------
    @property
    def _due(self) -> bool:
        return self._step % self._every == 0

    def _before_forward(self, model: nn.Module, args: Any) -> None:
        """Listen to the first pass of a step; others only add gradients to it."""
        if not self._due or self._heard or not model.training or not torch.is_grad_enabled():
            return
        self._heard = True
        listener = Listener(model, self._known)
        listener.__enter__()

        def after(*_: Any) -> None:
            done.remove()
            listener.__exit__(None, None, None)
            self._known.looked = True
            self._sizes.activations(0, listener.seen, listener.values, listener.shares)
            listener.close()

        # made after the listener's own hook, so that it runs after it; also where the forward raises
        done = model.register_forward_hook(after, always_call=True)

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if self._due:
            self._sizes.gradients(*self._held())

    def _after_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if self._due:
            self._sizes.updates(0, self._held()[0])
            self.series[self._step] = self._fetched()
            self._tell(self._step, self.series[self._step])
            self._sizes.clear()
        self._step, self._heard = self._step + 1, False

    def _held(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Parameters and gradients, of a sharded model this process's part."""
        grads = {name: p.grad for name, p in self._parameters.items() if p.grad is not None and not p.grad.is_sparse}
        return {name: _local(self._parameters[name]) for name in grads}, {name: _local(g) for name, g in grads.items()}

    def _fetched(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for number, values in self._sizes.fetch():
            if number.kind == "activation" and number.column == 0:
                found[f"{_ACTIVATION}/{number.name}"] = values[0]
            elif number.kind == "parameter":
                found[f"{_UPDATE if number.column else _GRADIENT}/{number.name}"] = values[0]
        return found


def _local(tensor: torch.Tensor) -> torch.Tensor:
    shard: Any = getattr(tensor, "to_local", None)
    local: torch.Tensor = tensor if shard is None else shard()
    return local.detach()


def watch(model: nn.Module, optimizer: Any, *, every: int = 100, tell: Told = lambda step, found: None) -> LoopWatch:
    """Measure a model while it is trained by a loop of the user's own, every so many steps of its optimizer.

    The figures are those of a coordinate check: root mean squares of what modules compute and of attention logits, of
    gradients, and the norm of every update relative to its parameter. model, optimizer: also wrapped (DDP, FSDP2,
    Accelerate, Lightning). tell: told (step, name → figure), for TensorBoard, Weights & Biases or a file.

    Returns:
        what holds the series, and `remove()`s the hooks.
    Raises:
        UserError: the model is compiled, so that its modules are not called.
    """
    if type(model).__name__ == "OptimizedModule":
        raise UserError(
            "a compiled model does not call its modules", "watch the model before torch.compile, in an eager run"
        )
    if every < 1:
        raise UserError(f"every is {every}, expected a positive number of steps")
    return LoopWatch(bare(model), bare_optimizers(optimizer), every, tell)
