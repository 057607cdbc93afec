"""What a model, its loss and its optimizer must be for a verdict to mean anything; one error for each way they are not.

Where nothing is trained, where a value is no number, where the loss does not depend on the model, an audit would go
through and its verdict would be about nothing.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from muaudit.entries import entries
from muaudit.errors import UserError
from muaudit.visible import visible

_SETTINGS = ("weight_decay", "eps", "momentum", "dampening", "alpha", "rho", "betas")
"""Numbers of a param group that everything else is computed from, or pairs of them."""


def check_structure(model: nn.Module, label: str) -> None:
    """Raise UserError for a module that holds itself, and for one that torch.jit has compiled."""
    circle = _circle(model)
    if circle is not None:
        inner, outer = circle
        where, whole = f"its submodule {inner}" if inner else "the model", outer or "the model"
        held = "itself" if inner == outer else f"{whole}, and so {whole} holds itself"
        raise UserError(f"{label}: {where} holds {held}; expected a tree of modules",
                        "keep the reference in a list or a tuple, or by object.__setattr__")  # fmt: skip
    if isinstance(model, torch.jit._script.ScriptModule):
        raise UserError(f"{label} is compiled by torch.jit, which keeps no lines and no forward to look at",
                        "return the module itself, as it is before torch.jit.script or torch.jit.trace")  # fmt: skip


def is_uninitialized(model: nn.Module) -> bool:
    """Whether a lazy module has yet to see an input."""
    return any(is_lazy(each) for each in (*model.parameters(), *model.buffers()))


def check_values(model: nn.Module, label: str) -> None:
    """Raise UserError where parameters have no values, where one that is trained is no number, or where none is."""
    for name, parameter in model.named_parameters():
        shown = visible(name)
        if is_lazy(parameter):
            raise UserError(f"{label}: {shown} has no shape yet, for a lazy module takes it from its first input",
                            "call the model once on a batch in build(width), or write batch(width)")  # fmt: skip
        if parameter.is_meta:
            raise UserError(f"{label}: {shown} is on the meta device, where tensors have no values",
                            "build it on the CPU, or initialize it after model.to_empty(device='cpu')")  # fmt: skip
        odd = _no_number(parameter) if parameter.requires_grad else None
        if odd is not None:
            raise UserError(f"{label}: the parameter {shown} holds {odd}", "initialize it with finite numbers")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(f"{label}: nothing is trained, for no parameter has requires_grad=True",
                        "audit the model as it is trained: leave out what freezes it")  # fmt: skip


def check_batch(values: Iterable[Any]) -> None:
    """Raise UserError for a tensor that has no values."""
    if any(isinstance(each, torch.Tensor) and each.is_meta for each in values):
        raise UserError("batch(width) returned a tensor on the meta device, where tensors have no values",
                        "make it on the CPU: torch.randn(4, 16, device='cpu')")  # fmt: skip


def check_outcome(loss: torch.Tensor, gradients: Mapping[str, torch.Tensor], model: nn.Module, label: str) -> None:
    """Raise UserError where a loss, or what its backward left, says nothing about the model.

    gradients: by the names of the parameters that have one.
    """
    value = loss.detach().item()
    if not math.isfinite(value):
        raise UserError(f"{label}: the loss is {value}", "look at the batch and the loss: a verdict would mean nothing")
    if not loss.requires_grad:
        hint = "compute the output and the loss outside torch.no_grad() and without .item() or .detach()"
        raise UserError(f"{label}: the loss comes without a gradient, so nothing is learned from it", hint)
    if not gradients:
        raise UserError(f"{label}: the loss does not depend on any parameter of the model",
                        "compute it from what the forward returns")  # fmt: skip
    for name, gradient in gradients.items():
        odd = _no_number(gradient)
        if odd is not None:
            raise UserError(f"{label}: the gradient of {visible(name)} holds {odd}",
                            "look at the batch and the loss: training would end here")  # fmt: skip
    if not any(bool(entries(each).any()) for each in gradients.values()) and not _waiting(model):
        raise UserError(f"{label}: the gradient of every parameter is zero: the loss ({value:g}) does not change with "
                        "the model's output", "look at the loss: nothing is learned from it")  # fmt: skip


def check_optimizer(optimizer: Any, model: nn.Module, where: str) -> None:
    """Raise UserError for settings that are no numbers, and for an optimizer over something else than the model."""
    own = {id(parameter) for parameter in model.parameters()}
    held = False
    for number, group in enumerate(_groups(optimizer, where)):
        named = f"{where}: param group {number}"
        rate: Any = group.get("lr")
        if "lr" in group and (not _is_number(rate) or float(rate) < 0):
            raise UserError(f"{named} has the learning rate {_shown(rate)}, expected a number, and none below 0")
        for name, value in _numbers(group):
            if not _is_number(value):
                raise UserError(f"{named} has {name} {_shown(value)}, expected a number")
        held = held or any(id(each) in own for each in group["params"])
    if not held:
        raise UserError(f"{where}: the optimizer is over none of the model's parameters, expected it over those of the "
                        "model it is given", "make it from model.parameters()")  # fmt: skip


def check_rates(rates: Sequence[Sequence[Any]], where: str) -> None:
    """Raise UserError for a learning rate that a scheduler made no number of."""
    for each in rates:
        for rate in each:
            if not math.isfinite(rate):
                raise UserError(f"{where} sets the learning rate {rate}, expected a number")


def _circle(model: nn.Module) -> tuple[str, str] | None:
    """A module that is among those that hold it, and its holder of this kind, by name; None where there is none."""
    above: dict[int, str] = {}
    done: set[int] = set()
    work: list[tuple[nn.Module, str, bool]] = [(model, "", False)]
    while work:
        module, name, left = work.pop()
        if left:
            del above[id(module)]
            done.add(id(module))
        elif id(module) in above:
            return visible(name.rpartition(".")[0]), visible(above[id(module)])
        elif id(module) not in done:
            above[id(module)] = name
            work.append((module, name, True))
            children = ((module._modules or {}) if isinstance(module, nn.Module) else {}).items()
            work += [(child, f"{name}.{key}" if name else key, False) for key, child in children if child is not None]
    return None


def _no_number(tensor: torch.Tensor) -> str | None:
    """`nan`, `inf` or `-inf`, where it holds one."""
    if tensor.is_meta or tensor.is_quantized:
        return None
    held = entries(tensor)
    held = torch.view_as_real(held) if held.is_complex() else held
    if not held.is_floating_point():
        return None
    if math.isfinite(float(held.sum())):  # one pass over it, and no copy
        return None
    finite = torch.isfinite(held)
    return None if bool(finite.all()) else str(float(held[~finite][0]))


def _waiting(model: nn.Module) -> bool:
    """Whether parameters that start at zero wait for one another, which is a finding and not the loss's fault."""
    zero = [name for name, each in model.named_parameters() if each.dim() > 1 and not bool(entries(each).any())]
    return len(zero) > 1


def _groups(optimizer: Any, where: str) -> Iterator[Mapping[str, Any]]:
    for group in optimizer.param_groups:
        if not isinstance(group, Mapping) or "params" not in group:
            raise UserError(f"{where}: a param group is {_shown(group)}, expected a dict with 'params'")
        yield group


def _numbers(group: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings that are numbers, those of a pair one by one; what is off may be None or False."""
    for name in _SETTINGS:
        value = group.get(name)
        if name == "betas" and value is not None:
            if not isinstance(value, (tuple, list)):
                raise UserError(f"the optimizer has betas {_shown(value)}, expected a pair of numbers")
            yield from ((name, each) for each in value)
        elif value is not None and not isinstance(value, (tuple, list)):
            yield name, value


def _is_number(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_complex() and bool(torch.isfinite(value).all())
    return isinstance(value, numbers.Real) and math.isfinite(value)


def _shown(value: Any) -> str:
    try:
        text = visible(repr(value))
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
