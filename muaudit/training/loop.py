"""A training run at one width, measured: of one model, or of the models of all seeds as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..targets.probe import Inputs, Target
from ..targets.usercode import seed_everything, user_error
from .ensemble import CannotStack, Ensemble
from .lineage import Known
from .listener import Listener
from .run_settings import DTYPES, RunSettings
from .sizes import Kind, Sizes, StepNumbers

Tick = Callable[[int], None]  # called before every step
# What a model may have for its seeds to be trained together: above, one model keeps the device busy by itself.
TOGETHER = {"cpu": 2**18, "cuda": 2**25}


@dataclass
class RunNumbers:
    """The numbers of one run, table by table (n,) as they were measured; an interrupted one ends early.

    sizes: how many entries every activation had in the last pass; reshaped: names of those whose shape changed.
    """

    tables: list[StepNumbers] = field(default_factory=list)
    sizes: Mapping[str, int] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    logits: frozenset[str] = frozenset()
    reshaped: frozenset[str] = frozenset()
    interrupted: bool = False

    @property
    def values(self) -> dict[tuple[str, int, int], float]:
        """Of activations, by name, column of the statistics, and step."""
        return self._by_place("activation")

    @property
    def loss(self) -> dict[int, float]:
        """By step."""
        return {step: number for (_, _, step), number in self._by_place("loss").items()}

    @property
    def parameters(self) -> dict[tuple[str, int, int], float]:
        """As `values`, without updates of what is zero: these are none that are infinite."""
        return {place: number for place, number in self._by_place("parameter").items()
                if number == number or place[1] == 0}  # fmt: skip

    def _by_place(self, kind: Kind) -> dict[tuple[str, int, int], float]:
        return {(name, column, table.step): number for table in self.tables if table.kind == kind
                for (name, column), number in zip(table.labels, table.numbers.tolist(), strict=True)}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What runs at one width have in common.

    lr_factor: what every group's learning rate is multiplied by; known: what `look` found. spare: what measured a run
        that is over, for another one.
    """

    target: Target
    sizes: Mapping[str, int]
    settings: RunSettings
    lr_factor: float = 1.0
    tick: Tick = lambda step: None
    known: Known = field(default_factory=Known)
    spare: list[Sizes] = field(default_factory=list)

    def built(self, seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        """A model on the device with its optimizer."""
        device, dtype = torch.device(self.settings.device), getattr(torch, DTYPES[self.settings.dtype])
        model = self.target.build(self.sizes, seed).to(device=device, dtype=dtype)
        optimizer = self.target.optimizer(model, self.sizes)
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * self.lr_factor
        return model, optimizer

    def inputs(self) -> Inputs:
        """The data on the device."""
        device, dtype = torch.device(self.settings.device), getattr(torch, DTYPES[self.settings.dtype])
        return moved(self.target.inputs(self.sizes), device, dtype)


class Single:
    """One model with the interface of an ensemble, whose tensors have no dimension in front."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.models, self.optimizer = [model], optimizer
        self._named: dict[str, torch.Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}

    @property
    def parameters(self) -> dict[str, torch.Tensor]:
        """All that is trained."""
        return self._named

    @property
    def stored(self) -> Iterator[torch.Tensor]:
        """All tensors that the model keeps from step to step."""
        return chain(self.models[0].parameters(), self.models[0].buffers())

    @property
    def gradients(self) -> dict[str, torch.Tensor]:
        """Where there is one."""
        return {name: grad for name, p in self._named.items() if (grad := p.grad) is not None and not grad.is_sparse}

    def run(self, call: Callable[[nn.Module], Any]) -> Any:
        """`call(model)`."""
        return call(self.models[0])

    def backward(self, losses: torch.Tensor) -> None:
        """Gradients of the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        losses.backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """One update."""
        self.optimizer.step()


def look(work: Work, seed: int) -> None:
    """One pass that shows what all others need not find out. Raises as `train` does."""
    with explained(work):
        model, _ = work.built(seed)
        own = work.settings.device == "cpu"  # an accelerator would be waited for, and has no use for it (`packed`)
        before = [parameter.detach().clone() for parameter in model.parameters()] if own else []
        listener = Listener(model, work.known)
        seed_everything(seed)
        _forward(work, model, work.inputs(), listener)
        listener.close()
        work.known.still = own and all(map(torch.equal, before, model.parameters()))
        work.known.looked = True


def train(work: Work, seed: int) -> RunNumbers:
    """One seed by itself. Raises UserError where the user's code raises."""
    with explained(work):
        return _train(work, Single(*work.built(seed)), seed, 1)[0]


@contextmanager
def explained(work: Work) -> Iterator[None]:
    """Say what was trained where the user's code raises. Raises UserError."""
    try:
        yield
    except (UserError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        shown = ", ".join(f"{name}={size}" for name, size in work.sizes.items())
        raise user_error(f"training {work.target.label} at {shown} on {work.settings.device}", error) from error


def train_together(work: Work, seeds: Sequence[int], check: bool) -> list[RunNumbers]:
    """All seeds as one; `check`: make sure that they compute what they compute one by one.

    Raises:
        CannotStack: they cannot be trained as one, or not to advantage; its text is empty in the latter case.
    """
    limit = TOGETHER.get(work.settings.device.partition(":")[0], 0)
    try:
        first = work.built(seeds[0])
        if sum(parameter.numel() for parameter in first[0].parameters()) > limit:
            raise CannotStack("")
        ensemble = Ensemble(*zip(*(first, *(work.built(seed) for seed in seeds[1:])), strict=True))
        if check and not ensemble.agrees(_fingerprint(work, work.inputs())):
            raise CannotStack("together they compute something else than alone")
        return _train(work, ensemble, seeds[0], len(seeds))
    except CannotStack:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise CannotStack("") from error
        text = " ".join(str(error).split())
        raise CannotStack(f"{type(error).__name__}: {text[:160]}") from error


def _train(work: Work, trainee: Single | Ensemble, seed: int, count: int) -> list[RunNumbers]:
    """Measure before each of `settings.steps` updates on one batch, and after the last."""
    inputs, steps = work.inputs(), work.settings.steps
    listener, numbers = Listener(trainee.models[0], work.known), _sizes(work, count)
    interrupted = False
    try:
        for step in range(steps + 1):
            work.tick(step)
            seed_everything(seed)  # dropout masks stay the same from step to step
            listener.copy = step == 0 and not work.known.looked
            losses, values, shares = trainee.run(lambda model: _forward(work, model, inputs, listener))
            numbers.activations(step, listener.seen, values, shares, trainee.stored if step == 0 else ())
            numbers.loss(step, losses)
            listener.values.clear()
            del values, shares
            if step < steps:
                trainee.backward(losses)
                numbers.gradients(trainee.parameters, trainee.gradients)
                trainee.step()
                numbers.updates(step, trainee.parameters, work.known.still and step + 1 < steps)
    except KeyboardInterrupt:
        interrupted = True
    runs = _filed(numbers, count)
    for run in runs:
        run.interrupted = interrupted
    listener.close()
    numbers.clear()
    work.spare.append(numbers)
    return runs


def _sizes(work: Work, members: int) -> Sizes:
    while work.spare:
        if (found := work.spare.pop()).members == members:
            return found
    return Sizes(members)


def _forward(work: Work, model: nn.Module, inputs: Inputs, listener: Listener) -> tuple[Any, Any, Any]:
    """Loss, values, and shares by slot."""
    with listener:
        output = model(*inputs.args, **inputs.kwargs)
    loss = work.target.loss(output, inputs)
    work.known.trace(loss, listener.nodes, listener.logit_nodes)
    listener.nodes, listener.logit_nodes = {}, []
    return loss, list(listener.values), dict(listener.shares)


def _fingerprint(work: Work, inputs: Inputs) -> Callable[[nn.Module], torch.Tensor]:
    """All that one forward pass computes, as sizes in one tensor."""

    def call(model: nn.Module) -> torch.Tensor:
        listener = Listener(model, work.known)
        loss, values, _ = _forward(work, model, inputs, listener)
        listener.close()
        sizes = [torch.linalg.vector_norm(value.double()) / value.numel() ** 0.5 for value in values]
        return torch.stack([loss.double(), *sizes])

    return call


def _filed(numbers: Sizes, count: int) -> list[RunNumbers]:
    modules = {name: each.module for name, each in numbers.seen.items()}
    sizes = {name: each.size for name, each in numbers.seen.items()}
    logits = frozenset(name for name, each in numbers.seen.items() if each.logits)
    reshaped = frozenset(numbers.reshaped)
    runs = [RunNumbers(sizes=sizes, modules=modules, logits=logits, reshaped=reshaped) for _ in range(count)]
    for table in numbers.tables():
        for run, found in zip(runs, table.numbers.T, strict=True):
            run.tables.append(table._replace(numbers=found))
    return runs


def out_of_memory(error: BaseException) -> bool:
    """Whether this, or what caused it, says that the device, or the machine, has no memory left."""
    if error.__cause__ is not None and out_of_memory(error.__cause__):
        return True
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
