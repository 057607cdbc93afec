"""A model that no width but its own fits: what reads the argument has sizes that are numbers in the code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from traceback import clear_frames

from torch import nn

from muaudit.errors import UserError
from muaudit.targets.literals import advice, tied_to
from muaudit.targets.memory import forward_only
from muaudit.targets.probe import Inputs, WidthAxis
from muaudit.targets.usercode import RaisedError, attempt

_PATIENCE = 5.0
"""Seconds of processor for finding out."""
_MOST = 100_000_000
"""Parameters of the largest model that is built for it: 400 MB."""


def own_width_alone(
    axes: tuple[WidthAxis, ...], build: Callable[[Mapping[str, int], int], nn.Module],
    inputs: Callable[[nn.Module], Iterable[Callable[[Mapping[str, int]], Inputs]]],
    error: UserError, label: str, file: str | None,
) -> UserError:  # fmt: skip
    """The error that nothing runs at other widths, or a better one where the model runs at its own.

    inputs: of a model, what it may be called with, best first.
    """
    sizes = {axis.name: axis.default for axis in axes if axis.default}
    tried = any(axis.default in axis.probes for axis in axes)
    if len(sizes) < len(axes) or tried or not error.message.startswith("no input was found"):
        return error
    main = axes[0].name
    first = {axis.name: axis.probes[0] for axis in axes}
    if _parameters(build, first) * (sizes[main] / first[main]) ** 2 > _MOST or not _runs(build, inputs, sizes):
        return error
    own = int(sizes[main])
    shown = ", ".join(f"{name}={size}" for name, size in sizes.items())
    message = f"{label} runs at {shown} and at no other width: what reads {main} has sizes that are numbers in the code"
    _, raised, rest = error.message.partition("forward raised ")
    lines = [message, f"  at {main}={axes[0].probes[0]} its {raised}{rest}"] if raised else [message]
    where = tied_to(file, main, own) or advice(file)
    return RaisedError("\n".join(lines), where or f"make them go with {main}")


def _parameters(build: Callable[[Mapping[str, int], int], nn.Module], sizes: Mapping[str, int]) -> int:
    return sum(parameter.numel() for parameter in build(sizes, 0).parameters())


def _runs(
    build: Callable[[Mapping[str, int], int], nn.Module],
    inputs: Callable[[nn.Module], Iterable[Callable[[Mapping[str, int]], Inputs]]],
    sizes: Mapping[str, int],
) -> bool:
    end = time.process_time() + _PATIENCE
    try:
        model = build(sizes, 0)
    except UserError:
        return False
    for make in inputs(model):
        if time.process_time() > end:
            return False
        try:
            with attempt():
                made = make(sizes)
                forward_only(lambda made=made: model(*made.args, **made.kwargs))  # type: ignore[misc]
            return True
        except (Exception, SystemExit) as error:
            clear_frames(error.__traceback__)
            if isinstance(error, ImportError):
                return False
    return False
