"""The scalar that is differentiated: the model's own loss where it returns one, else a standard one on its output."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from muaudit.errors import UserError
from muaudit.targets.probe import Inputs

_SEED = 20_220_308
_DEEPEST = 32  # containers in containers: no model's output, but a list that grew without end
_OUTPUTS = ("logits", "last_hidden_state", "prediction", "predictions", "sample", "out", "output", "x", "start_logits")


@dataclass(frozen=True)
class Chosen:
    """A loss, and what there is to say about it."""

    loss: Callable[[Any, Inputs], Tensor]
    note: str = ""


def choose(outputs: tuple[Any, Any], inputs: Inputs, with_targets: bool) -> Chosen:
    """A loss for what the model returned at two widths. Raises UserError where no tensor can be learned from."""
    if own_loss(outputs[0]) is not None and (with_targets or main_output(outputs[0]) is None):
        return Chosen(lambda output, _: _own(output))
    small, large = main_output(outputs[0]), main_output(outputs[1])
    if small is None or large is None or small.dim() != large.dim():
        raise UserError(f"the model returns {_kind(outputs[0])}, in which no loss and no float tensor was found",
                        "give a loss: loss(output, batch) in the file, which returns a scalar tensor")  # fmt: skip
    if (rest := beyond(inputs)) is not None:
        _targeted(small, rest)
        return Chosen(_on_targets)
    grown = [dim for dim in range(small.dim()) if small.shape[dim] != large.shape[dim]]
    if grown:
        return Chosen(_on_main(_readout(grown[-1])), "the output grows with the width, so a fixed random readout of "
                      "size 1/width stands in for the layer that would read it")  # fmt: skip
    if _is_regression(small, inputs):
        return Chosen(_on_main(_squared_error))
    return Chosen(_on_main(_cross_entropy))


def own_loss(output: Any) -> Tensor | None:
    """The scalar in what a model returned, None when there is none."""
    if isinstance(output, Tensor):
        return output if output.dim() == 0 and output.is_floating_point() else None
    loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if isinstance(loss, Tensor):
        return loss.mean()
    if isinstance(output, (tuple, list)):
        scalars = [each for each in output if isinstance(each, Tensor) and each.numel() == 1 and _has_gradient(each)]
        return scalars[0].reshape(()) if scalars else None
    return None


def is_finite(output: Any) -> bool:
    """Whether a loss that the model returns is a number; where it returns none, nothing says otherwise."""
    loss = own_loss(output)
    return loss is None or not loss.is_floating_point() or bool(loss.detach().isfinite())


def main_output(output: Any) -> Tensor | None:
    """The float tensor that a model is about: its logits, or the first tensor with dims."""
    return _main(output, 0, set())


def _main(output: Any, depth: int, seen: set[int]) -> Tensor | None:
    if isinstance(output, Tensor):
        return output if output.is_floating_point() and output.dim() > 0 else None
    if isinstance(output, torch.distributions.Distribution):
        output = vars(output)
    candidates = _candidates(output)
    if candidates is None or id(output) in seen:
        return None
    if depth == _DEEPEST:
        raise UserError(f"the model returns containers nested more than {_DEEPEST} deep, expected tensors in a tuple,"
                        " a list, a dict or a dataclass",
                        "return the logits, and the loss where there is one")  # fmt: skip
    seen.add(id(output))
    found = (_main(each, depth + 1, seen) for each in candidates)
    return next((each for each in found if each is not None), None)


def _candidates(output: Any) -> Iterable[Any] | None:
    """What a container holds, the likeliest first; None for what is none."""
    if isinstance(output, (tuple, list)):
        return output
    if isinstance(output, Mapping):
        values: Mapping[str, Any] = output
    elif isinstance(output, SimpleNamespace) or (
        hasattr(output, "__dataclass_fields__") and hasattr(output, "__dict__")
    ):
        values = vars(output)
    else:
        return None
    return [values[name] for name in (*(each for each in _OUTPUTS if each in values), *values)]


def check_scalar(loss: Any, name: str, gradient: bool = True) -> Tensor:
    """A user's loss as it is. Raises UserError unless it is a scalar, and, where `gradient` is asked for, has one."""
    if isinstance(loss, Tensor) and loss.is_complex():
        raise UserError(f"{name} returned {_kind(loss)} of complex numbers, expected a real scalar tensor",
                        "take its .real or .abs()")  # fmt: skip
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise UserError(
            f"{name} returned {_kind(loss)}, expected a scalar tensor",
            "reduce it, for example with .mean()",
        )
    if gradient and not _has_gradient(loss):
        hint = "compute it from the model's output, outside torch.no_grad() and without .item() or .detach()"
        raise UserError(f"{name} returned a tensor without a gradient", hint)
    return loss


def _has_gradient(tensor: Tensor) -> bool:
    """Inside `torch.func.vmap` the gradient is an outer level's business, and a tensor does not show it."""
    return tensor.requires_grad or bool(torch._C._functorch.is_batchedtensor(tensor))


def _own(output: Any) -> Tensor:
    loss = own_loss(output)
    assert loss is not None, "the model returned a loss at the trial, but none now"
    return loss


def _on_main(loss: Callable[[Tensor], Tensor]) -> Callable[[Any, Inputs], Tensor]:
    """A loss on the main output, to which a scalar that the model returns besides (a balancing loss) is added."""

    def both(output: Any, _: Inputs) -> Tensor:
        main, extra = main_output(output), own_loss(output)
        assert main is not None, "the model returned a tensor at the trial, but none now"
        return loss(main) if extra is None else loss(main) + extra

    return both


def beyond(inputs: Inputs) -> Tensor | None:
    """What a user's batch holds besides what the forward takes: the targets, None where there are none.

    Raises:
        UserError: it holds more than one thing besides.
    """
    raw = inputs.raw
    rest = list(raw[len(inputs.args) :]) if isinstance(raw, (tuple, list)) and inputs.args else []
    if not rest:
        return None
    if len(rest) > 1 or not isinstance(rest[0], Tensor):
        raise UserError(
            f"the batch holds {len(rest)} values more than the forward takes, and one tensor of targets is understood",
            "write loss(output, batch), which returns a scalar tensor",
        )
    return rest[0]


def _on_targets(output: Any, inputs: Inputs) -> Tensor:
    main, targets = main_output(output), beyond(inputs)
    assert main is not None, "the model returned a tensor at the trial, but none now"
    assert targets is not None, "the batch held targets at the trial, but none now"
    return _targeted(main, targets)


def _targeted(output: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy for classes, the squared error for numbers. Raises UserError where the shapes fit neither."""
    if not targets.is_floating_point():
        if targets.shape == output.shape[:-1]:
            return F.cross_entropy(output.float().reshape(-1, output.shape[-1]), targets.reshape(-1).long())
        if output.dim() > 2 and targets.shape == output.shape[:1] + output.shape[2:]:
            return F.cross_entropy(output.float(), targets.long())
    elif targets.shape == output.shape or (*targets.shape, 1) == output.shape:
        return F.mse_loss(output.float().reshape(targets.shape), targets)
    raise UserError(
        f"the batch holds {_kind(targets)} besides what the forward takes, which fits no standard loss on an output of "
        f"shape {tuple(output.shape)}",
        "write loss(output, batch), which returns a scalar tensor",
    )


def _is_regression(output: Tensor, inputs: Inputs) -> bool:
    """Whether the output is no set of logits: a single number, an image, or a float sequence like its input."""
    floats = all(value.is_floating_point() for value in inputs.args if isinstance(value, Tensor))
    return output.dim() == 1 or output.shape[-1] == 1 or output.dim() > 3 or (output.dim() == 3 and floats)


def _cross_entropy(logits: Tensor) -> Tensor:
    classes = logits.shape[-1]
    targets = _integers(tuple(logits.shape[:-1]), classes)
    return F.cross_entropy(logits.float().reshape(-1, classes), targets.reshape(-1).to(logits.device))


def _squared_error(output: Tensor) -> Tensor:
    return F.mse_loss(output.float(), _normals(tuple(output.shape)).to(output.device))


def _readout(dim: int) -> Callable[[Tensor], Tensor]:
    """Fixed random signs over the growing dim, averaged: gradients like those of a µP readout (TP5 Table 3).

    The squared error to random signs keeps the gradient from vanishing with the output.
    """

    def loss(output: Tensor) -> Tensor:
        shape = [1] * output.dim()
        shape[dim] = output.shape[dim]
        read = (output.float() * _signs(tuple(shape)).to(output.device)).mean(dim)
        return F.mse_loss(read, _signs(tuple(read.shape)).to(output.device))

    return loss


# Kept, so that what is fixed by its shape is made once, outside any recording of the model.
@functools.lru_cache(maxsize=64)
def _integers(shape: tuple[int, ...], high: int) -> Tensor:
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(_SEED))


@functools.lru_cache(maxsize=64)
def _normals(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(_SEED))


@functools.lru_cache(maxsize=64)
def _signs(shape: tuple[int, ...]) -> Tensor:
    return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(_SEED)) * 2.0 - 1.0


def _kind(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
