"""A plan as a Python module of its own, for training without muaudit: it needs torch alone."""

from __future__ import annotations

from ..errors import UserError
from ..plan.groups import default_eps, own_eps
from ..plan.plan import Plan
from ..plan.scales import Constants, Entry, Part
from .optimizer_lines import trained_at, tuned_at, usage

_CHECK = """\
    if optimizer not in {names!r}:
        raise ValueError(f"this plan is not for the optimizer {{optimizer!r}}, it is for {names!r}")
    eps = {eps!r}[optimizer] if eps is None else eps
"""

_DEPTHS = """\
DEPTH, BASE_DEPTH = {depth}, {base}
M_DEPTH = DEPTH / BASE_DEPTH


def _power(exponents):
    return float(M ** exponents[0] * M_DEPTH ** exponents[1])

"""
_TUNED = """\

def _power(exponents):
    return float(M ** exponents[0] * {deeper}exponents[2])  # the last is a constant that was tuned

"""

_TEMPLATE = '''\
"""µP for {target}, {sizes}, {optimizer}, formulation {formulation}.

Hyperparameters tuned at {tuned} train the model at {trained}:

    import {module}

    {module}.apply_(model)  # once, on the initialized model; install_hooks(model) where weights are loaded
{usage}

Written by muaudit; needs torch alone.
"""

import re

import torch

WIDTH, BASE_WIDTH = {width}, {base}
M = WIDTH / BASE_WIDTH
{depths}
# Parameters, * being a number: their shape with n = WIDTH, their roles, and the exponents of {ratios} by which their
# initialization, learning rate, weight decay (None: it has none) and eps are multiplied{and_by}.
TENSORS = {{
{tensors}
}}

# Modules whose first input or output is multiplied by a power of {ratios}, and which columns of it: those from start
# to stop (fractions) of each of so many groups.
MULTIPLIERS = [
{multipliers}
]


def param_groups(model, lr, weight_decay=0.0, eps={eps}{argument}):
    """Parameter groups with lr, weight_decay and eps as tuned at the base width; each has its lr_scale and a name."""
{check}    groups = {{}}
    for parameter, (_, roles, (_, *exponents), *trained_by) in _matched(model):
        if parameter.requires_grad and trained_by in ([], [{chosen}]):
            scales = tuple(0.0 if exponent is None else {power} for exponent in exponents)
            members, names = groups.setdefault(scales, ([], {{}}))
            members.append(parameter)
            names.update(dict.fromkeys(roles))
    made = []
    for (lr_scale, decay_scale, eps_scale), (members, names) in groups.items():
        group = {{"lr": lr * lr_scale, "weight_decay": weight_decay * decay_scale}}
        if eps is not None:
            group["eps"] = eps * eps_scale
        group |= {{"params": members, "lr_scale": lr_scale}}
        group["name"] = "+".join(names) + (f" lr×{{lr_scale:.4g}}" if lr_scale != 1.0 else "")
        made.append(group)
    return made


def apply_(model):
    """Scale a fresh initialization in place and install the multipliers; returns the model. Once, and not twice."""
    _refuse_twice(model)
    matched, found = _matched(model), _modules(model)
    with torch.no_grad():
        for parameter, (_, _, (exponent, *_), *_) in matched:
            scale = 0.0 if exponent is None else {power}
            if scale != 1.0:
                parameter.mul_(scale)
    return _install(model, found)


def install_hooks(model):
    """Install the multipliers alone, for a model whose weights were scaled before: a loaded checkpoint."""
    _refuse_twice(model)
    _matched(model)
    return _install(model, _modules(model))


class Multiplier:
    """A forward hook that multiplies (some columns of) a module's first input or output. Copies with its module."""

    def __init__(self, scale, groups, start, stop):
        self.scale, self.groups, self.start, self.stop = scale, groups, start, stop

    def input(self, module, args, kwargs):
        if args:
            return (self._times(args[0]), *args[1:]), kwargs
        first = next(name for name, value in kwargs.items() if isinstance(value, torch.Tensor))
        return args, {{**kwargs, first: self._times(kwargs[first])}}

    def output(self, module, args, output):
        if isinstance(output, torch.Tensor):
            return self._times(output)
        return type(output)([self._times(output[0]), *output[1:]])

    def _times(self, x):
        if (self.groups, self.start, self.stop) == (1, (0, 1), (1, 1)):
            return x * self.scale
        columns = x.reshape(*x.shape[:-1], self.groups, -1)
        start, stop = (above * columns.shape[-1] // below for above, below in (self.start, self.stop))
        pieces = (columns[..., :start], columns[..., start:stop] * self.scale, columns[..., stop:])
        return torch.cat(pieces, -1).flatten(-2)


def _matched(model):
    """Every parameter once, with its line of TENSORS."""
    names, parameters = {{}}, {{}}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).extend(dict.fromkeys((_plain(name), name)))
        parameters[id(parameter)] = parameter
    matched, used = [], set()
    for key, parameter in parameters.items():
        pattern = _pattern(names[key])
        if pattern is None:
            raise ValueError(f"this plan is for another model: it has no entry for {{names[key][0]}}")
        shape = TENSORS[pattern][0]
        fits = len(shape) == parameter.dim()
        if not fits or any(dim == "n" and size != WIDTH for dim, size in zip(shape, parameter.shape)):
            found = tuple(parameter.shape)
            raise ValueError(f"{{names[key][0]}} has the shape {{found}}, expected {{shape}} with n = {{WIDTH}}")
        used.add(pattern)
        matched.append((parameter, TENSORS[pattern]))
    for pattern in TENSORS:
        if pattern not in used:
            raise ValueError(f"this plan is for another model, which has {{pattern}}")
    return matched


def _pattern(names):
    exact = next((pattern for pattern in TENSORS if pattern in names), None)
    return exact or next((pattern for pattern in TENSORS for name in names if _matches(pattern, name)), None)


def _matches(pattern, name):
    return re.fullmatch(r"\\d+".join(re.escape(part) for part in pattern.split("*")), name) is not None


def _plain(name):
    """A name without what torch.compile, DDP and checkpoint wrappers put into it."""
    wrappers = ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")
    parts = [part for part in name.split(".") if part not in wrappers]
    return ".".join(parts[1:] if parts[:1] == ["module"] and len(parts) > 1 else parts)


def _modules(model):
    found = []
    for pattern, on, exponent, *columns in MULTIPLIERS:
        named = [(name, module) for name, module in model.named_modules() if name]
        # a wrapper goes by the name of what it wraps, and comes before it: the innermost one counts
        modules = {{_plain(n): m for n, m in named if _matches(pattern, _plain(n)) or _matches(pattern, n)}}
        if not modules:
            raise ValueError(f"this plan is for another model, which has a module {{pattern}}")
        found += [(module, on, Multiplier({power}, *columns)) for module in modules.values()]
    return found


def _install(model, found):
    for module, on, multiplier in found:
        if on == "input":
            module.register_forward_pre_hook(multiplier.input, with_kwargs=True)
        else:
            module.register_forward_hook(multiplier.output)
    _bare(model).__dict__["_muaudit_plan"] = ({formulation!r}, {described!r})
    return model


def _refuse_twice(model):
    if "_muaudit_plan" in _bare(model).__dict__:
        raise ValueError("a plan has been applied to this model before")


def _bare(model):
    while type(model).__name__ in ("OptimizedModule", "DistributedDataParallel", "DataParallel"):
        model = next(iter(model.children()))
    return model
'''


def module_text(plan: Plan, name: str) -> str:
    """The module's source. name: what it is imported as. Raises UserError for a multiplier that needs muaudit."""
    if any(hook.on == "attention" for hook in plan.hooks):
        raise UserError("a multiplier of attention logits is installed by muaudit alone",
                        "put it into the model's source, or train with plan.apply_(model)")  # fmt: skip
    depths = _DEPTHS.format(base=plan.base_depth, depth=plan.depth) if plan.depth_name else ""
    if _has_constants(plan):
        depths = depths.partition("\n\ndef _power")[0]
        depths += _TUNED.format(deeper="M_DEPTH ** exponents[1] * " if plan.depth_name else "")
    several = bool(plan.depth_name) or _has_constants(plan)
    return _TEMPLATE.format(
        target=plan.target,
        sizes=plan.sizes,
        tuned=tuned_at(plan),
        trained=trained_at(plan),
        base=plan.base_width,
        width=plan.width,
        depths=depths,
        ratios="(M, M_DEPTH)" if plan.depth_name else "M",
        power="_power(exponent)" if several else "float(M**exponent)",
        optimizer=plan.optimizer,
        formulation=plan.formulation,
        module=name,
        usage="\n".join(f"    {line}" for line in usage(plan, f"{name}.param_groups")),
        tensors="\n".join(f"    {e.pattern!r}: {_row(plan, e)!r}," for e in plan.entries),
        and_by="; which optimizer trains them" if plan.optimizers else "",
        argument=", *, optimizer" if plan.optimizers else "",
        chosen="optimizer" if plan.optimizers else "None",
        check=_CHECK.format(names=plan.optimizers, eps=_defaults(plan)) if plan.optimizers else "",
        multipliers="\n".join(f"    {row!r}," for row in _multipliers(plan)),
        eps=None if plan.optimizers else own_eps(plan, plan.optimizer),
        described=f"{plan.target} {plan.sizes}",
    )


def _row(plan: Plan, entry: Entry) -> tuple[object, ...]:
    powers = zip(entry.exponents, entry.depth.exponents, entry.constants.factors, strict=True)
    init, lr, decay, eps = (_shown(plan, *each) for each in powers)
    exponents = None if entry.zero else init, lr, decay if entry.decays else None, eps
    return entry.shape, entry.roles, exponents, *([entry.optimizer] if entry.optimizer else [])


def _has_constants(plan: Plan) -> bool:
    return any(e.constants != Constants() for e in plan.entries) or any(h.constant != 1.0 for h in plan.hooks)


def _shown(plan: Plan, exponent: float, over_depth: float, constant: float) -> object:
    """An exponent; with that of depth and a constant, where the plan has such."""
    if _has_constants(plan):
        return exponent, over_depth, constant
    return (exponent, over_depth) if plan.depth_name else exponent


def _defaults(plan: Plan) -> dict[str, float | None]:
    return {name: default_eps(name) for name in plan.optimizers}


def _multipliers(plan: Plan) -> list[tuple[object, ...]]:
    return [
        (hook.module, hook.on, _shown(plan, hook.exponent, hook.depth, hook.constant), *_columns(hook.part))
        for hook in plan.hooks
    ]


def _columns(part: Part) -> tuple[object, ...]:
    return part.groups, part.start.as_integer_ratio(), part.stop.as_integer_ratio()
