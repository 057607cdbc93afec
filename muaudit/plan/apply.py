"""Applying a plan to a model: scales in place, forward multipliers as module hooks, and no second time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from .attention_scale import LogitScale
from .fresh_weights import refuse_trained
from .patterns import Patterns, plain_name
from .scales import WHOLE, Entry, Hook, Part, Scales, missing

MARK = "_muaudit_plan"
"""Attribute of the root module that says a plan was applied; copied with the module, not part of its state dict."""

_TIMES = re.compile(r"\d+n")
_WRAPPERS = ("OptimizedModule", "DistributedDataParallel", "DataParallel")


class Multiplier:
    """A module hook that multiplies the first input, or the output, by a constant. Copies with its module.

    part: the columns it multiplies, where these are not all.
    """

    def __init__(self, scale: float, part: Part = WHOLE) -> None:
        self.scale = scale
        self.part = part

    def input(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """As a forward pre-hook with keyword arguments."""
        if args:
            return (self._times(args[0]), *args[1:]), kwargs
        first = next(name for name, value in kwargs.items() if isinstance(value, torch.Tensor))
        return args, {**kwargs, first: self._times(kwargs[first])}

    def output(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """As a forward hook."""
        if isinstance(output, torch.Tensor):
            return self._times(output)
        return type(output)([self._times(output[0]), *output[1:]])

    def _times(self, x: torch.Tensor) -> torch.Tensor:
        if self.part == WHOLE:
            return x * self.scale
        columns = x.reshape(*x.shape[:-1], self.part.groups, -1)
        size = columns.shape[-1]
        start, stop = (int(edge * size) for edge in (self.part.start, self.part.stop))
        pieces = (columns[..., :start], columns[..., start:stop] * self.scale, columns[..., stop:])
        return torch.cat(pieces, -1).flatten(-2)


def apply_(plan: Scales, model: nn.Module, force: bool) -> nn.Module:
    """Scale the initialization and install the multipliers. force: whatever the weights are."""
    _refuse_twice(model)
    matched = match(plan, model)
    found = modules_of(plan, model)
    if not force:
        names = {id(parameter): plain_name(name) for name, parameter in model.named_parameters()}
        refuse_trained(plan, ((names[id(parameter)], parameter, entry) for parameter, entry in matched))
    with torch.no_grad():
        for parameter, entry in matched:
            scale = plan.scales_of(entry)[0]
            if scale != 1.0:
                parameter.mul_(scale)
    install(plan, model, found)
    return model


def install_hooks(plan: Scales, model: nn.Module) -> nn.Module:
    """Install the multipliers alone."""
    _refuse_twice(model)
    match(plan, model)
    install(plan, model, modules_of(plan, model))
    return model


def scale_(plan: Scales, tensors: Mapping[str, torch.Tensor]) -> None:
    """Scale named tensors in place, aliases of one storage once."""
    seen: set[tuple[int, int]] = set()
    with torch.no_grad():
        for name, tensor in tensors.items():
            entry, key = plan.entry([name]), (tensor.data_ptr(), tensor.numel())
            scale = plan.scales_of(entry)[0] if entry is not None else 1.0
            if scale != 1.0 and key not in seen:
                tensor.mul_(scale)
                seen.add(key)


def match(plan: Scales, model: nn.Module) -> list[tuple[nn.Parameter, Entry]]:
    """Every parameter once, with its entry. Raises UserError where names, shapes, heads or blocks differ."""
    names: dict[int, list[str]] = {}
    parameters: dict[int, nn.Parameter] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).extend(dict.fromkeys((plain_name(name), name)))
        parameters[id(parameter)] = parameter
    matched: list[tuple[nn.Parameter, Entry]] = []
    unknown: list[str] = []
    for key, parameter in parameters.items():
        entry = plan.entry(names[key])
        if entry is None:
            unknown.append(names[key][0])
            continue
        _check_shape(plan, entry, names[key][0], parameter)
        matched.append((parameter, entry))
    if unknown:
        raise missing("it has no entry for these parameters", unknown)
    used = {id(entry) for _, entry in matched}
    unused = [entry.pattern for entry in plan.entries if id(entry) not in used]
    if unused:
        raise missing("the model has no parameters by these names", unused)
    if plan.made_for is not None:
        plan.made_for.refuse_other(model, plan.width, depth=plan.depth)
    return matched


def _check_shape(plan: Scales, entry: Entry, name: str, parameter: nn.Parameter) -> None:
    shape = tuple(parameter.shape)
    expected = f"expected ({', '.join(entry.shape)}) with n = {plan.width}, found {shape}"
    if len(shape) != len(entry.shape):
        raise UserError(f"this plan is for another model: {name} has another shape", expected)
    for size, dim in zip(shape, entry.shape, strict=True):
        if dim == "n" and size != plan.width:
            hint = f"{expected}\nplan.at({size}) is this plan for a model of width {size}"
            raise UserError(f"this plan is for width {plan.width}: {name} has another shape", hint)
    if plan.made_for is not None:
        times = [(size, dim) for size, dim in zip(shape, entry.shape, strict=True) if _TIMES.fullmatch(dim)]
        if any(size != int(dim[:-1]) * plan.width for size, dim in times):
            raise UserError(f"this plan is for another model: {name} has other proportions", expected)


def modules_of(plan: Scales, model: nn.Module) -> list[tuple[nn.Module, Hook]]:
    """Every module that gets a multiplier, with it. Raises UserError where one is not there."""
    patterns = Patterns(dict.fromkeys(hook.module for hook in plan.hooks))
    by_pattern: dict[int, dict[str, nn.Module]] = {}
    for name, module in model.named_modules() if plan.hooks else ():
        for number in {*patterns.matching(plain_name(name)), *patterns.matching(name)} if name else ():
            # a wrapper goes by the name of what it wraps, and comes before it: the innermost one counts
            by_pattern.setdefault(number, {})[plain_name(name)] = module
    found: list[tuple[nn.Module, Hook]] = []
    for hook in plan.hooks:
        modules = by_pattern.get(patterns.exact(hook.module) or 0)
        if not modules:
            raise missing("it has a multiplier for a module that is not there", [hook.module])
        found += [(module, hook) for module in modules.values()]
    return found


def install(plan: Scales, model: nn.Module, found: list[tuple[nn.Module, Hook]]) -> None:
    """Hang the multipliers on their modules and mark the model."""
    for module, hook in found:
        if hook.on == "attention":
            LogitScale(plan.multiplier(hook), hook.module).install(module)
            continue
        # installed at the base width too: a product with 1.0 is exact, and graphs of all widths are the same
        multiplier = Multiplier(plan.multiplier(hook), hook.part)
        if hook.on == "input":
            module.register_forward_pre_hook(multiplier.input, with_kwargs=True)
        else:
            module.register_forward_hook(multiplier.output)
    bare(model).__dict__[MARK] = (plan.formulation, f"{plan.target} {plan.sizes}")


def uninstall(model: nn.Module) -> None:
    """Take the multipliers and the mark off again; hooks of others stay."""
    for module in model.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key, hook in list(hooks.items()):
                if isinstance(getattr(hook, "__self__", None), (Multiplier, LogitScale)):
                    del hooks[key]
                    module._forward_pre_hooks_with_kwargs.pop(key, None)
    bare(model).__dict__.pop(MARK, None)


def applied(model: nn.Module) -> tuple[str, str] | None:
    """The formulation of the plan that was applied to a model, and what plan it was."""
    found: tuple[str, str] | None = bare(model).__dict__.get(MARK)
    return found


def bare(model: nn.Module) -> nn.Module:
    """The model inside torch.compile and data parallel wrappers."""
    while type(model).__name__ in _WRAPPERS:
        model = next(iter(model.children()))
    return model


def _refuse_twice(model: nn.Module) -> None:
    before = applied(model)
    if before is not None:
        raise UserError(
            f"a plan has been applied to this model before ({before[1]}, {before[0]})",
            "apply_ scales the weights in place: apply it once, to a freshly initialised model",
        )
