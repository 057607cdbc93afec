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
from .measured import Decay, MeasuredSteps
from .membership import has_own_step, known, known_by_group, overrides_step
from .orthogonal import MODES, adjustment, family_in, mode_of
from .registry import UNKNOWN, families, law_of, named
from .running import CannotRun, Raised
from .treated import Treated

MEASURED = "measured"
"""The family of what follows a law that no family has."""

Shapes = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class How:
    """family: a name in `families`, MEASURED or UNKNOWN. mode: the scale mode of an orthogonalising one.

    law, shape: where they were measured, shape being the exponent that the shape alone gives an entry of a step.
    shared: whether a factor that the gradients of all parameters decide multiplies every step; it is left out.
    reason: why the family is not known. orthogonal: whether its updates are orthogonalised. pieces: which of its
    entries together, where that was measured; all of them where it was not.
    """

    family: str
    mode: str = ""
    law: Law | None = None
    shape: float = 0.0
    decoupled: bool = False
    shared: bool = False
    reason: str = ""
    orthogonal: bool = False
    pieces: Treated | None = None


def has_torchs_step(optimizer: Any) -> bool:
    """Whether the step is one of torch.optim, by itself: one that calls it may change the gradient before."""
    owner = next((cls for cls in type(optimizer).__mro__ if overrides_step(cls)), object)
    return _is_torchs(owner.__module__)


def _is_torchs(module: str) -> bool:
    return f"{module}.".startswith("torch.optim.")  # Muon calls `torch.optim` itself its module


def finds_rate(group: Mapping[str, Any]) -> bool:
    """Whether a group holds a step size `d` that training makes grow, as D-Adaptation and Prodigy have it.

    Beside it stands the count of steps `k`; Adafactor's `d` alone is the bound at which it clips.
    Defazio & Mishchenko 2023, arXiv 2301.07733; Mishchenko & Defazio 2023, arXiv 2306.06101.
    """
    return isinstance(group.get("d"), float) and "k" in group


def steps_of(optimizer: Any, unit: float, wider: Any = None) -> Steps:
    """The `Steps` of an optimizer, the same at every call. unit: log of the width ratio. wider: the other probe's."""
    kept = _KEPT.setdefault(optimizer, {})
    if unit not in kept:
        kept[unit] = Steps(optimizer, unit, wider)
    return kept[unit]


class Steps:
    """How one optimizer steps, asked for parameter by parameter; what was measured once is not measured again.

    unit: log of the width ratio. wider: the optimizer of the wider model, for those that run as they were built alone.
    """

    def __init__(self, optimizer: Any, unit: float, wider: Any = None) -> None:
        self._optimizer, self.unit = weakref.ref(optimizer), unit
        self._wider = None if wider is None else weakref.ref(wider)
        self.plain = has_torchs_step(optimizer)
        step = inspect.unwrap(getattr(type(optimizer), "step", has_torchs_step))
        self.knows_no_other_keys = _is_torchs(getattr(step, "__module__", None) or "")
        self._measured: dict[tuple[int, Shapes], How | CannotRun] = {}
        self._powers: dict[tuple[int, int, str], float] = {}
        self._decays: dict[tuple[int, int], Decay] = {}
        self._of_matrices: bool | None = None

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
            return self._by_name(group, len(dims))
        key = group, shapes
        if key not in self._measured:
            self._measured[key] = self._measure(group, shapes, dims)
        measured = self._measured[key]
        if isinstance(measured, How):
            return measured
        named_so = self._named_itself() or known_by_group(self.optimizer.param_groups[group]) is not None
        by_name = self._by_name(group, len(dims)) if named_so else How(UNKNOWN)
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

    def decay_of(self, group: int, shapes: Shapes) -> Decay:
        """What is done with the weight decay of a group; torch's steps do what it says."""
        place = group, len(shapes[0])
        if self.plain:
            return Decay()
        if place not in self._decays:
            try:
                self._decays[place] = MeasuredSteps(self.optimizer, group, shapes, self.unit).decay()
            except CannotRun:
                self._decays[place] = Decay()
        return self._decays[place]

    def decay_follows(self, group: int, shapes: Shapes, key: str) -> float:
        """The power of `lr` or of another setting in what decoupled decay takes off; 1 where that cannot be told."""
        if self.plain:
            return 1.0
        place = group, len(shapes[0]), f"decay by {key}"
        if place not in self._powers:
            try:
                self._powers[place] = MeasuredSteps(self.optimizer, group, shapes, self.unit).decay_follows(key)
            except CannotRun:
                self._powers[place] = 1.0
        return self._powers[place]

    def _named_itself(self) -> bool:
        """Whether the class whose step it is has the known name: one that only calls that step may do more."""
        owner = next((cls for cls in type(self.optimizer).__mro__ if overrides_step(cls)), object)
        return has_own_step(owner) or named(owner.__name__) is not None

    def _by_name(self, group: int, rank: int) -> How:
        settings: Mapping[str, Any] = self.optimizer.param_groups[group]
        found = known(self.optimizer) or known_by_group(settings)
        if found is None or found[0].law is None:
            return How(UNKNOWN)
        decoupled = bool(settings.get("decoupled_weight_decay")) or found[1].decoupled
        name = family_in(settings) if law_of(found[0].name).spectral else found[0].name
        mode = mode_of(self.optimizer, settings) if law_of(name).spectral else ""
        if law_of(name).spectral and (rank < 2 or not mode):
            why = "by which power of its shape it scales cannot be read" if rank > 1 else "it orthogonalises matrices"
            return How(UNKNOWN, reason=why)
        return How(name, mode, decoupled=decoupled, orthogonal=law_of(name).spectral)

    def _measure(self, group: int, shapes: Shapes, dims: tuple[float, ...]) -> How | CannotRun:
        wider = self._wider() if self._wider is not None else None
        asked = MeasuredSteps(self.optimizer, group, shapes, self.unit)
        try:
            return self._measured_by(asked, group, dims, wider)
        except Raised as why:
            if wider is None:
                return why
        except CannotRun as why:
            return why
        try:
            return self._measured_by(MeasuredSteps(self.optimizer, group, shapes, self.unit, wider), group, dims)
        except CannotRun as why:
            return why

    def _measured_by(self, asked: MeasuredSteps, group: int, dims: tuple[float, ...], other: Any = None) -> How:
        law, shape = asked.law(), asked.shape()
        piece = asked.orthogonal() if not law.gradient else None
        if shape or piece is not None:
            asked.same_at_full_rank(law, piece)
        own = None if other is None else asked.with_own(other)
        shape = shape if own is None else own
        orthogonal = piece is not None
        if not law.gradient and len(dims) == 1:
            orthogonal = self._orthogonalises() and asked.normalised()
        found = known(self.optimizer)
        family = _family(law, shape, orthogonal, found[0] if found else None)
        mode = _mode(shape, dims) if orthogonal and law == Law() else ""
        shared = asked.shared or finds_rate(self.optimizer.param_groups[group])
        decoupled = asked.decays_weights()
        return How(family, mode, law, shape, decoupled, shared, orthogonal=orthogonal,
                   pieces=asked.pieces() if orthogonal else None)  # fmt: skip

    def _orthogonalises(self) -> bool:
        """Whether any matrix that the optimizer holds gets orthogonalised updates."""
        if self._of_matrices is None:
            groups = enumerate(self.optimizer.param_groups)
            held = ((number, tuple(p.shape)) for number, group in groups for p in group["params"] if p.dim() == 2)
            self._of_matrices = any(self._orthogonal(number, shape) for number, shape in dict(held).items())
        return self._of_matrices

    def _orthogonal(self, group: int, shape: tuple[int, ...]) -> bool:
        try:
            return MeasuredSteps(self.optimizer, group, (shape, shape), self.unit).orthogonal() is not None
        except CannotRun:
            return False


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
