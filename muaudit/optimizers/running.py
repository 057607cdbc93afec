"""Steps of the user's optimizer on a copy, with parameters and gradients of our own; nothing of the user's is touched.

The copy has the settings of the optimizer as it was built. One parameter, of a shape that is asked for, stands for
those of one group. Its gradients have one direction, of rank one in every unfolding (what training adds up to), and
sizes that vary a little from step to step, as gradients of batches do: what divides by their variance would meet zero
otherwise. The last of some steps shows what the optimizer makes of them.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from muaudit.thresholds import LAW_STEPS

SPREAD = 1.5  # powers of ten from the largest to the smallest singular value of a gradient of full rank
SMALLEST = 0.2  # the smallest singular value of a parameter beside its largest
RATE, SIZE = 1e-5, 0.02  # so small against a parameter that its size stays; 0.02 is a usual init
SIZES = (1.0, 0.7, 1.2, 0.9, 1.3, 0.8)  # of one gradient after the other, the last one first
MOST_ENTRIES = 1 << 22  # of all parameters of an optimizer that is run as it was built
NO_DECAY = 1e-9  # times the group's own: classes that ask whether it is zero take the same way as in training
DECAYS = ("weight_decay", "wd", "weight_decay_rate")


class CannotRun(Exception):
    """The optimizer cannot be copied or stepped by itself; the text says why."""


@dataclass(frozen=True)
class Setup:
    """What one run has of its own. gradient, size: root mean squares; rate: the group's lr, None where it has none.

    settings: of the group, in place of its own. full: a gradient of full rank, its singular values far apart.
    decayed: with the group's own weight decay. others: every entry of the gradients of all other parameters.
    large: an entry of the gradient that is so many of its root mean squares, and which.
    """

    shape: tuple[int, ...]
    gradient: float = 1.0
    size: float = SIZE
    rate: float = RATE
    settings: Mapping[str, Any] | None = None
    full: bool = False
    decayed: bool = False
    others: float = 0.0
    large: tuple[tuple[int, ...], float] | None = None


@dataclass(frozen=True)
class Stepped:
    """gradient, before, change: of the parameter in the last step, of the shape that was asked for."""

    gradient: torch.Tensor
    before: torch.Tensor
    change: torch.Tensor

    @property
    def rms(self) -> float:
        """Root mean square of the change."""
        return float(self.change.square().mean().sqrt())

    @property
    def along(self) -> float:
        """The same of its part along the gradient."""
        direction = self.gradient / self.gradient.norm()
        return abs(float((self.change * direction).sum())) / math.sqrt(self.change.numel())

    @property
    def norm(self) -> float:
        """The largest singular value of the change, rows against all further dims."""
        return float(torch.linalg.matrix_norm(self.change.flatten(1), 2)) if self.change.dim() > 1 else self.rms


class Raised(CannotRun):
    """A step raised."""


def run(optimizer: Any, group: int, setup: Setup, as_built: bool = False) -> Stepped:
    """Step a copy of `optimizer` with a parameter of the setup's shape in its group number `group`.

    as_built: all other parameters, and what the optimizer keeps of them, are as large as they are; the setup's shape
    has to be that of one of them. Classes that copy the weights, or hold sizes of their own, run in no other way.

    Raises:
        CannotRun: it raised (`Raised`), or nothing that is finite came of it.
    """
    ways = _ways_to_step(optimizer)
    for number, with_closure in enumerate(ways, 1):
        try:
            with _alone():
                return _run(optimizer, group, setup, with_closure, as_built)
        except CannotRun:
            raise
        except Exception as error:  # the user's code, in a way that nobody may have run before
            if number == len(ways):
                raise Raised(f"a step by itself raised {type(error).__name__}: {error}") from error
    raise AssertionError


def _ways_to_step(optimizer: Any) -> tuple[bool, ...]:
    """Without a closure, then with one, as far as `step` takes it; steps that need one may not say so."""
    given = [p for p in inspect.signature(optimizer.step).parameters.values()
             if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]  # fmt: skip
    if any(p.default is p.empty for p in given):
        return (True,)
    return (False, True) if given and given[0].name == "closure" else (False,)


def _run(optimizer: Any, group: int, setup: Setup, with_closure: bool, as_built: bool) -> Stepped:
    generator = torch.Generator().manual_seed(0)
    held = optimizer.param_groups[group]["params"]
    alike = [p for p in held if p.dim() == len(setup.shape)]
    chosen = next((p for p in alike if tuple(p.shape) == tuple(setup.shape)), None if as_built else alike[0])
    if chosen is None:
        raise CannotRun("it can be run with the shapes of its parameters alone")
    parameter = _parameter(setup, generator)
    parameter.__dict__.update(chosen.__dict__)  # marks that the user's code puts on parameters
    gradient = _gradient(setup, generator)
    if setup.large is not None:
        gradient[setup.large[0]] = setup.large[1] * setup.gradient
    replaced = _others(optimizer, as_built)
    others = [other for key, other in replaced.items() if key != id(chosen)]
    replaced[id(chosen)] = parameter
    kept = _copies_kept(optimizer, chosen, parameter) if as_built else {}
    made = copied(optimizer, replaced | _state(optimizer, chosen, setup.shape) | kept)
    own = made.param_groups[group]
    share = 1.0 if setup.decayed else NO_DECAY if setup.gradient else 0.0
    own.update({key: share * (own[key] or 0.0) for key in DECAYS if key in own})
    if own.get("lr") is not None:
        own["lr"] = setup.rate
    own.update(setup.settings or {})
    if callable(getattr(made, "train", None)):  # schedule-free ones average where they evaluate
        made.train()
    before = parameter.detach().clone()
    for left in reversed(range(LAW_STEPS)):
        before = parameter.detach().clone()
        size = SIZES[left % len(SIZES)]
        for each in others:
            each.grad = torch.full_like(each, setup.others * size)
        parameter.grad = size * gradient
        _step(made, [*others, parameter], with_closure)
    change = parameter.detach() - before
    if not bool(change.isfinite().all()):
        raise CannotRun("its steps are not finite")
    return Stepped(gradient, before, change)


def _others(optimizer: Any, as_built: bool) -> dict[int, Any]:
    """What stands for each parameter of the optimizer in a copy, by its id."""
    held = [p for each in optimizer.param_groups for p in each["params"]]
    if as_built and sum(p.numel() for p in held) > MOST_ENTRIES:
        raise CannotRun("it can be run with the shapes of its parameters alone, which are too large")
    found = {}
    for p in held:
        found[id(p)] = nn.Parameter(torch.ones(list(p.shape) if as_built else [2] * p.dim(), dtype=torch.float64))
        found[id(p)].__dict__.update(p.__dict__)
    return found


def _copies_kept(optimizer: Any, chosen: nn.Parameter, parameter: nn.Parameter) -> dict[int, torch.Tensor]:
    """Copies of the chosen parameter that the optimizer keeps (slow weights), with our parameter's values, by id."""
    found, waiting, seen = {}, list(vars(optimizer).values()), 0
    while waiting and seen < MOST_ENTRIES:
        each, seen = waiting.pop(), seen + 1
        if isinstance(each, torch.Tensor):
            if each is not chosen and each.shape == chosen.shape and torch.equal(each, chosen):
                found[id(each)] = parameter.detach().clone()
        elif isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, (list, tuple)):
            waiting += each
    return found


def _state(optimizer: Any, chosen: nn.Parameter, shape: Sequence[int]) -> dict[int, Any]:
    """State that was set up with the optimizer for the chosen parameter, in the other shape; it is all one number."""
    kept = getattr(optimizer, "state", {}).get(chosen, {})
    found = {}
    for value in kept.values() if isinstance(kept, Mapping) else ():
        if isinstance(value, torch.Tensor) and value.shape == chosen.shape and value.dim():
            if not bool((value == value.flatten()[0]).all()):
                raise CannotRun("it has state of its own before the first step")
            found[id(value)] = torch.full(tuple(shape), float(value.flatten()[0]), dtype=torch.float64)
    return found


def _step(optimizer: Any, parameters: Sequence[torch.Tensor], with_closure: bool) -> None:
    """One step on the gradients that the parameters have; a closure gives them again."""
    if not with_closure:
        optimizer.step()
        return
    gradients = [None if p.grad is None else p.grad.clone() for p in parameters]

    def closure() -> torch.Tensor:
        for p, gradient in zip(parameters, gradients, strict=True):
            p.grad = None if gradient is None else gradient.clone()
        return torch.zeros(())

    optimizer.step(closure)


def _parameter(setup: Setup, generator: torch.Generator) -> nn.Parameter:
    """At random, but for the singular values: a spectral norm is then no matter of chance."""
    values = torch.randn(setup.shape, generator=generator, dtype=torch.float64)
    if values.dim() > 1 and values.numel():
        left, sizes, right = torch.linalg.svd(values.flatten(1), full_matrices=False)
        even = torch.linspace(1.0, SMALLEST, len(sizes), dtype=torch.float64)
        values = ((left * even) @ right).view(setup.shape)
    return nn.Parameter(setup.size * values / values.square().mean().sqrt())


def _gradient(setup: Setup, generator: torch.Generator) -> torch.Tensor:
    """Without entries near zero, of the root mean square that is asked for."""
    if setup.full:
        values = torch.randn(setup.shape, generator=generator, dtype=torch.float64)
        if values.dim() > 1:
            left, sizes, right = torch.linalg.svd(values.flatten(1), full_matrices=False)
            spread = torch.logspace(0, -SPREAD, len(sizes), dtype=torch.float64)
            values = ((left * spread) @ right).view(setup.shape)
    else:
        values = torch.ones((), dtype=torch.float64)
        for dim, size in enumerate(setup.shape):
            generator = torch.Generator().manual_seed(dim)  # what does not grow is the same at both widths
            signs = torch.randint(0, 2, (size,), generator=generator) * 2 - 1
            along = signs * (0.5 + torch.rand(size, generator=generator, dtype=torch.float64))
            values = values[..., None] * along
    return setup.gradient * values / values.square().mean().sqrt() if values.numel() else values


def copied(optimizer: Any, memo: dict[int, Any]) -> Any:
    """A copy without the original's hooks and schedulers. memo: what stands for objects in the copy, by their id.

    torch's own way of copying an optimizer leaves out what a subclass keeps on itself, and a scheduler's wrapper around
    `step` would step the original.
    """
    if id(optimizer) in memo:
        return memo[id(optimizer)]
    made = object.__new__(type(optimizer))
    memo[id(optimizer)] = made
    for inner in _inner(optimizer):
        copied(inner, memo)
    for key, value in vars(optimizer).items():
        if key != "step":
            made.__dict__[key] = type(value)() if key.endswith("_hooks") else copy.deepcopy(value, memo)
    return made


def _inner(optimizer: Any) -> Iterator[Any]:
    """Optimizers that one holds: what a wrapper wraps, or several at once."""
    for value in vars(optimizer).values():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if hasattr(each, "param_groups") and hasattr(each, "step"):
                yield each


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """No output, no trace in the random state, and nothing compiled: a copy takes a few small steps."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


def grown(shape: Sequence[int], wider: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes between which to measure: those of the probes, made small where they are large."""
    small = min([size for size, other in zip(shape, wider, strict=True) if other > size], default=1)
    cut = max(1, small // 32)
    first = tuple(size // cut if other > size else min(size, 4) for size, other in zip(shape, wider, strict=True))
    second = tuple(round(new * other / size) for new, size, other in zip(first, shape, wider, strict=True))
    return first, second
