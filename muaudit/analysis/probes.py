"""The models that an analysis looks at: one built and recorded at each probe, when it is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..targets.probe import Target
from ..targets.sound import check_outcome
from ..targets.usercode import seed_torch
from ..trace.definitions import definitions
from ..trace.recorder import Recording, TooLongError, record
from .axis import Axis
from .width import WIDTH


@dataclass(frozen=True)
class Probe:
    """One model, at `sizes` (from axis name to size), and the recording of one forward and backward of it."""

    sizes: Mapping[str, int]
    model: nn.Module
    recording: Recording


class Probes:
    """The probes of one target along one axis, under one seed, by number.

    known: probes that are there already.

    Raises, where a probe is asked for:
        UserError: the user's code raised.
    """

    def __init__(self, target: Target, seed: int, known: Mapping[int, Probe] | None = None, axis: Axis = WIDTH) -> None:
        self.target = target
        self.axis = axis
        self.seed = seed
        self.definitions = definitions()
        self._made: dict[int, Probe] = dict(known or {})
        self._models: dict[int, nn.Module] = {}

    def __getitem__(self, number: int) -> Probe:
        if number not in self._made:
            sizes, model = self.axis.sizes(self.target, number), self.model(number)
            self._made[number] = Probe(sizes, model, record_target(self.target, model, sizes, self.seed))
        return self._made[number]

    def model(self, number: int) -> nn.Module:
        """The model of a probe, which may not be recorded yet."""
        if number in self._made:
            return self._made[number].model
        if number not in self._models:
            sizes = self.axis.sizes(self.target, number)
            with self.definitions:
                self._models[number] = self.target.build(sizes, self.seed)
        return self._models[number]


def record_target(target: Target, model: nn.Module, sizes: Mapping[str, int], seed: int) -> Recording:
    """One recorded forward and backward of `model` on the target's inputs at these sizes."""
    inputs = target.inputs(sizes)
    seed_torch(seed)
    at = ", ".join(f"{name}={size}" for name, size in sizes.items())

    def outcome(loss: Any, gradients: Mapping[str, torch.Tensor], model: nn.Module) -> None:
        check_outcome(loss, gradients, model, f"{target.label} at {at}")

    try:
        return record(model, inputs.args, inputs.kwargs, lambda output: target.loss(output, inputs), outcome=outcome)
    except TooLongError as error:
        name = target.axes[0].name
        hint = f"a loop over the units of a layer is shorter at smaller widths: --width {name}=8,16"
        raise UserError(f"{target.label} at {at}: {error.message}", hint) from error
