"""What a function that makes an optimizer returned: one or several, with or without a scheduler beside them.

All forms that Lightning takes from `configure_optimizers`: an optimizer, several in a list or tuple, a dict with
"optimizer" and maybe "lr_scheduler", several of these, or two lists, the second of schedulers or their settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

SCHEDULER = "muaudit_scheduler"
"""The attribute under which an optimizer keeps the scheduler that it came with."""


def read_returned(returned: Any) -> torch.optim.Optimizer | None:
    """The optimizer in it, as it was before any scheduler touched it; a scheduler beside it is kept on it.

    A warm-up that starts at 0 leaves rates of 0 in the groups, and the real ones in `initial_lr`: also where the
    scheduler was made beside the optimizer and is not returned.
    """
    found, schedulers = unwrap(returned), list(_schedulers_in(returned))
    if found is None:
        return None
    for part in getattr(found, "optimizers", None) or [found]:
        if callable(getattr(part, "train", None)):  # schedule-free ones step in training mode only
            part.train()
    if schedulers:
        setattr(found, SCHEDULER, schedulers[0] if len(schedulers) == 1 else schedulers)
    for group in found.param_groups:
        if "initial_lr" in group and (schedulers or group.get("lr") == 0):
            group["lr"] = group["initial_lr"]
    return found


def _schedulers_in(returned: Any) -> Iterator[Any]:
    """Everything in it that can be stepped and is no optimizer, in Lightning's settings where it has any."""
    if isinstance(returned, (tuple, list)):
        for each in returned:
            yield from _schedulers_in(each)
    elif isinstance(returned, Mapping):
        if _is_scheduler(returned.get("scheduler")):
            yield returned
        else:
            yield from _schedulers_in(returned.get("lr_scheduler"))
    elif _is_scheduler(returned):
        yield returned


def _is_scheduler(found: Any) -> bool:
    return callable(getattr(found, "step", None)) and not hasattr(found, "param_groups")


class Several:
    """Several optimizers over one model (Muon for matrices, AdamW for the rest), stepped together.

    returned: what the user's function returned, for the user's scheduler function.
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer], returned: Any) -> None:
        self.optimizers = tuple(optimizers)
        self.returned = returned
        self.defaults: dict[str, Any] = {}

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all of them, in order."""
        return [group for each in self.optimizers for group in each.param_groups]

    def step(self) -> None:
        for each in self.optimizers:
            each.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for each in self.optimizers:
            each.zero_grad(set_to_none=set_to_none)


def name_of(optimizer: Any) -> str:
    """`adamw`, `muon + adamw`."""
    parts = optimizer.optimizers if isinstance(optimizer, Several) else [optimizer]
    return " + ".join(dict.fromkeys(type(each).__name__.lower() for each in parts))


def unwrap(found: Any) -> torch.optim.Optimizer | None:
    """The optimizer in what was returned: itself, Lightning's dicts and tuples, or all of a list or a dict by name."""
    if isinstance(found, torch.optim.Optimizer):
        return found
    if isinstance(found, Mapping):
        return unwrap(found["optimizer"] if "optimizer" in found else list(found.values()))
    if isinstance(found, (tuple, list)):
        optimizers = [each for part in found if (each := unwrap(part)) is not None]
        if len(optimizers) > 1:
            return Several(optimizers, found)  # type: ignore[return-value]
        return optimizers[0] if optimizers else None
    # libraries wrap torch's optimizers in classes of their own; their groups are all that matters
    return found if hasattr(found, "param_groups") and hasattr(found, "step") else None
