"""How a model is called on data that are not its own, found out by calling it once at its narrowest width."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import UserError
from ...targets.losses import main_output
from ...targets.probe import Inputs, Target
from ...targets.usercode import attempt, describe

TARGETS = ("targets", "labels", "target", "label", "y", "target_ids")


@dataclass(frozen=True)
class Call:
    """The narrow model, the first tensor of its input as it is probed, and the keyword that takes targets."""

    model: torch.nn.Module
    first: torch.Tensor
    takes_targets: str | None

    def output(self, inputs: Inputs) -> torch.Tensor | None:
        """What the model makes of these inputs; None where it raises."""
        try:
            with attempt(), torch.no_grad():
                return main_output(self.model(*inputs.args, **inputs.kwargs))
        except Exception as error:
            self.problems.append(describe(error))
            return None

    @property
    def problems(self) -> list[str]:
        """What the model raised, newest last."""
        found: list[str] = self.model.__dict__.setdefault("_muaudit_problems", [])
        return found


def narrow_call(target: Target, task: str, floating: bool) -> Call:
    """The narrow model and its input. Raises UserError where that is not of the kind the task has."""
    sizes = target.sizes(0)
    inputs = target.inputs(sizes)
    tensors = [value for value in inputs.args if isinstance(value, torch.Tensor)]
    if len(tensors) != 1 or tensors[0].is_floating_point() != floating:
        kinds = (
            ", ".join(f"{str(each.dtype).removeprefix('torch.')}{list(each.shape)}" for each in tensors) or "nothing"
        )
        wanted = "one float tensor" if floating else "one tensor of tokens"
        raise UserError(
            f"--data {task} is for models whose input is {wanted}, {target.label} takes {kinds}",
            "write batches(width, seed) in the target's file, or pick other data",
        )
    takes = next((name for name in TARGETS if name in inputs.kwargs), None)
    return Call(target.build(sizes, 0), tensors[0], takes)


def misfit(target: Target, task: str, what: str, call: Call) -> UserError:
    """The error for a model that does not fit."""
    raised = f"\nits forward raised {call.problems[-1]}" if call.problems else ""
    return UserError(
        f"--data {task}: {what}{raised}", f"write batches(width, seed) and loss(output, batch) for {target.label}"
    )


def classified(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[[Any, Inputs], torch.Tensor]:
    """A loss between the main output and the batch's targets, which `raw["targets"]` holds."""

    def value(output: Any, inputs: Inputs) -> torch.Tensor:
        main = main_output(output)
        assert main is not None, "the model returned a tensor at the trial, but none now"
        raw: Mapping[str, torch.Tensor] = inputs.raw
        return loss(main, raw["targets"])

    return value
