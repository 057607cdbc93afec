"""What is trained on: the target's own data, or one of the tasks that need nothing but this machine."""

from __future__ import annotations

from ...errors import UserError
from ...suggest import nearest
from ...targets.probe import Target
from .data_and_loss import SweepTask

NAMES = ("text", "teacher", "digits")


def choose(target: Target, name: str | None, batch_size: int) -> SweepTask:
    """The task by name; without one the target's own data, and where it has none what its input looks like.

    Raises:
        UserError: there is no such task, or the target does not fit it.
    """
    if name is None and target.data is not None:
        return _own(target)
    chosen = name or _guess(target)
    if chosen == "text":
        from .text import text_task

        return text_task(target, batch_size)
    if chosen == "teacher":
        from .teacher import teacher_task

        return teacher_task(target, batch_size)
    if chosen == "digits":
        from .digits import digits_task

        return digits_task(target, batch_size)
    raise UserError(f"unknown data {chosen!r}", nearest(chosen, NAMES, "built-in data"))


def _own(target: Target) -> SweepTask:
    assert target.data is not None
    return SweepTask(
        "own", "the target's own data", {"data": "own"}, target.data, target.loss, held_out=target.held_out
    )


def _guess(target: Target) -> str:
    import torch

    first = next((value for value in target.inputs(target.sizes(0)).args if isinstance(value, torch.Tensor)), None)
    return "teacher" if first is not None and first.is_floating_point() else "text"
