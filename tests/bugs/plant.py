"""Plant one bug in a fixture: edit its source, or scale a parameter's init or learning rate by a power of width."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
_serial = itertools.count()


@dataclass(frozen=True)
class Fixture:
    """A fixture's spec functions and the file they come from."""

    path: Path
    base: int
    widths: tuple[int, ...]
    build: Callable[[int], nn.Module]
    batch: Callable[[int], Any]
    loss: Callable[[Any, Any], torch.Tensor]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]

    def names(self, *patterns: str) -> tuple[str, ...]:
        """The parameters that match any of `patterns` (`layer1.*.weight`); every pattern must match one."""
        names = [name for name, _ in self.build(self.widths[0]).named_parameters()]
        for pattern in patterns:
            assert any(fnmatchcase(name, pattern) for name in names), f"{self.path}: no parameter is {pattern}"
        return tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


Mutation = Callable[[Fixture], Fixture]


@dataclass(frozen=True)
class Edit:
    """Replace one snippet of the source; it must occur exactly `count` times."""

    old: str
    new: str
    count: int = 1


def load(path: Path) -> ModuleType:
    """Run a source file as a module with a name of its own."""
    spec = importlib.util.spec_from_file_location(f"planted_{next(_serial)}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def fixture(name: str, edits: Sequence[Edit] = (), folder: Path | None = None) -> Fixture:
    """The fixture `mlp/table3`, with `edits` made in a copy of its source under `folder`."""
    path = FIXTURES / f"{name}.py"
    if edits:
        text = path.read_text()
        for edit in edits:
            found = text.count(edit.old)
            assert found == edit.count, f"{path}: {edit.old!r} occurs {found} times, expected {edit.count}"
            text = text.replace(edit.old, edit.new)
        assert folder is not None
        path = folder / f"{name.replace('/', '_')}_{next(_serial)}.py"
        path.write_text(text)
    module = load(path)
    return Fixture(path, module.BASE, tuple(module.widths), module.build, module.batch, module.loss, module.optimizer)


def init(pattern: str, exponent: float) -> Mutation:
    """Multiply the initial values of matching parameters by m**exponent."""
    return touch(pattern, lambda p, m, width: p.mul_(m**exponent))


def zero(pattern: str) -> Mutation:
    """Start matching parameters at zero."""
    return touch(pattern, lambda p, m, width: p.zero_())


def positive(pattern: str) -> Mutation:
    """Give matching parameters a nonzero mean of the size of their standard deviation."""
    return touch(pattern, lambda p, m, width: p.abs_())


def touch(pattern: str, change: Callable[[torch.Tensor, float, int], object]) -> Mutation:
    """Change matching parameters in place after the model is built; `change(parameter, m, width)`."""

    def mutate(clean: Fixture) -> Fixture:
        clean.names(pattern)

        def build(width: int) -> nn.Module:
            model = clean.build(width)
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if fnmatchcase(name, pattern):
                        change(parameter, width / clean.base, width)
            return model

        return replace(clean, build=build)

    return mutate


def lr(pattern: str, exponent: float) -> Mutation:
    """Multiply the learning rate of matching parameters by m**exponent; lr times weight decay stays what it was."""

    def mutate(clean: Fixture) -> Fixture:
        clean.names(pattern)

        def optimizer(model: nn.Module) -> torch.optim.Optimizer:
            factor = width_of(model) / clean.base
            chosen = {id(p) for name, p in model.named_parameters() if fnmatchcase(name, pattern)}
            made = clean.optimizer(model)
            groups = []
            for group in made.param_groups:
                options = {key: value for key, value in group.items() if key not in ("params", "initial_lr")}
                kept = [p for p in group["params"] if id(p) not in chosen]
                split = [p for p in group["params"] if id(p) in chosen]
                scaled = options | {
                    "lr": options["lr"] * factor**exponent,
                    "weight_decay": options["weight_decay"] / factor**exponent,
                }
                groups += [{**options, "params": kept}] if kept else []
                groups += [{**scaled, "params": split}] if split else []
            cls: Callable[..., torch.optim.Optimizer] = type(made)
            return cls(groups, lr=made.defaults["lr"])

        return replace(clean, optimizer=optimizer)

    return mutate


def width_of(model: nn.Module) -> int:
    """The width a fixture was built at."""
    config = getattr(model, "config", None)
    stem = getattr(model, "stem", None)
    for owner, attribute in ((model, "width"), (config, "n_embd"), (config, "dim"), (stem, "out_channels")):
        if hasattr(owner, attribute):
            return int(getattr(owner, attribute))
    raise AssertionError(f"{type(model).__name__} does not say how wide it is")


def train(subject: Fixture, width: int, steps: int = 1) -> list[float]:
    """The losses of a few steps of real training."""
    torch.manual_seed(0)
    model, batch, losses = subject.build(width), subject.batch(width), []
    optimizer = subject.optimizer(model)
    for _ in range(steps):
        value = subject.loss(model(*(batch if isinstance(batch, tuple) else (batch,))), batch)
        optimizer.zero_grad()
        torch.autograd.backward(value)
        optimizer.step()
        losses.append(value.item())
    return losses
