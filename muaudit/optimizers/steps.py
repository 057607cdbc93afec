"""How an optimizer steps: by the table for torch's own steps, measured for all others, by their names where it must be.

A class that has a step of its own is judged by what that does, not by what it is called. Where it cannot be run (it
needs other processes, a device, a closure of the training loop), its name counts, as far as it is known.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .family import Family
from .law import Law
from .measured import MeasuredSteps
from .membership import has_own_step, known, known_by_group
from .orthogonal import MODES, adjustment, family_in, mode_of
from .registry import UNKNOWN, families, law_of
from .running import CannotRun

MEASURED = "measured"
"""The family of what follows a law that no family has."""

Shapes = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class How:
    """family: a name in `families`, MEASURED or UNKNOWN. mode: the scale mode of an orthogonalising one.

    law, shape: where they were measured, shape being the exponent that the shape alone gives an entry of a step.
    reason: why the family is not known.
    """

    family: str
    mode: str = ""
    law: Law | None = None
    shape: float = 0.0
    decoupled: bool = False
    reason: str = ""


def has_torchs_step(optimizer: Any) -> bool:
    """Whether the step is one of torch.optim, whatever the class is called and whatever it does before and after."""
    owner = next((cls for cls in type(optimizer).__mro__ if has_own_step(cls)), object)
    return _is_torchs(owner.__module__)


def _is_torchs(module: str) -> bool:
    return module.startswith("torch.optim.")


def steps_of(optimizer: Any, unit: float) -> Steps:
    """The `Steps` of an optimizer, the same at every call. unit: log of the width ratio."""
    kept = _KEPT.setdefault(optimizer, {})
    if unit not in kept:
        kept[unit] = Steps(optimizer, unit)
    return kept[unit]


class Steps:
    """How one optimizer steps, asked for parameter by parameter; what was measured once is not measured again.

    unit: log of the width ratio.
    """

    def __init__(self, optimizer: Any, unit: float) -> None:
        self._optimizer, self.unit = weakref.ref(optimizer), unit
        self.plain = has_torchs_step(optimizer)
        step = inspect.unwrap(getattr(type(optimizer), "step", has_torchs_step))
        self.knows_no_other_keys = _is_torchs(getattr(step, "__module__", None) or "")
        self._measured: dict[tuple[int, Shapes], How | CannotRun] = {}
        self._powers: dict[tuple[int, int, str], float] = {}

    @property
    def optimizer(self) -> Any:
        """It, which whoever asks holds."""
        return self._optimizer()

    def of(self, group: int, shapes: Shapes, dims: tuple[float, ...]) -> How:
        """Of a parameter with these shapes at both widths. dims: the exponents of its dims."""
        found = known(self.optimizer)
        if found is not None and found[0].law is None:
            return How(UNKNOWN, reason=found[0].rule)
        if self.plain:
            return self._by_name(group)
        key = group, shapes
        if key not in self._measured:
            self._measured[key] = self._measure(group, shapes, dims)
        measured = self._measured[key]
        if isinstance(measured, How):
            return measured
        by_name = self._by_name(group)
        return by_name if by_name.family != UNKNOWN else How(UNKNOWN, reason=str(measured))

    def power_of(self, group: int, shapes: Shapes, key: str) -> float:
        """The power of a setting of a group in its steps; 0 where that cannot be found out. torch's know no others."""
        if self.knows_no_other_keys:
            return 0.0
        place = group, len(shapes[0]), key
        if place not in self._powers:
            try:
                self._powers[place] = MeasuredSteps(self.optimizer, group, shapes, self.unit).power_of(key)
            except CannotRun:
                self._powers[place] = 0.0
        return self._powers[place]

    def _by_name(self, group: int) -> How:
        settings: Mapping[str, Any] = self.optimizer.param_groups[group]
        found = known(self.optimizer) or known_by_group(settings)
        if found is None or found[0].law is None:
            return How(UNKNOWN)
        decoupled = bool(settings.get("decoupled_weight_decay")) or found[1].decoupled
        name = family_in(settings) if law_of(found[0].name).spectral else found[0].name
        mode = mode_of(self.optimizer, settings) if law_of(name).spectral else ""
        if law_of(name).spectral and not mode:
            return How(UNKNOWN, reason="by which power of its shape it scales cannot be read")
        return How(name, mode, decoupled=decoupled)

    def _measure(self, group: int, shapes: Shapes, dims: tuple[float, ...]) -> How | CannotRun:
        asked = MeasuredSteps(self.optimizer, group, shapes, self.unit)
        try:
            law, shape = asked.law(), asked.shape()
            orthogonal = law == Law() and asked.orthogonal()
            decoupled = asked.decays_weights()
        except CannotRun as why:
            return why
        found = known(self.optimizer)
        family = _family(law, shape, orthogonal, found[0] if found else None)
        mode = _mode(shape, dims) if orthogonal else ""
        return How(family, mode, law, shape, decoupled)


def _family(law: Law, shape: float, orthogonal: bool, named: Family | None) -> str:
    """What a measured law is called: the family of its name where that has the same law, else any with it."""
    if orthogonal:
        return "muon"
    if shape:
        return MEASURED
    if named is not None and named.law == law:
        return named.name
    return next((name for name in ("adam", "sgd", "relative") if families()[name].law == law), MEASURED)


def _mode(shape: float, dims: tuple[float, ...]) -> str:
    """The scale mode with which an orthogonalised update changes like this over shapes; "" where none does."""
    spread = sum(dims) / 2
    modes = [mode for mode in MODES if abs(adjustment(mode, dims) - spread - shape) < 1e-6]
    return modes[0] if modes else ""


_KEPT: weakref.WeakKeyDictionary[Any, dict[float, Steps]] = weakref.WeakKeyDictionary()
