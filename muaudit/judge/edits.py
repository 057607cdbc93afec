"""Edits: what would have to be changed in a model for a use of a tensor, or a constant, to be right."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ..findings.names import pattern_of
from ..program.use import Use
from ..program.values import ZERO
from ..thresholds import TOLERANCE


@dataclass(frozen=True)
class Judged:
    """One use under the chosen gauge. None means not known; `*_off` is found − required.

    slope: by how much the learning rate that is needed rises with the exponent of an aligned entry.
    forward_alone: whether functions between it and the loss scale values and gradients unlike.
    """

    use: Use
    phi: float
    init_found: float | None
    init_required: float
    init_off: float
    lr_found: float | None
    lr_required: float
    lr_off: float
    slope: float = 1.0
    forward_alone: bool = False

    @property
    def multiplier(self) -> float:
        return -self.phi - self.use.e_in

    @property
    def on_path(self) -> float:
        """The constants that multiply the use: the sum over the blocks is none of them."""
        return self.multiplier - (self.use.alpha or 0.0)

    @property
    def gradient(self) -> float:
        """Exponent of the gradient in an ideal run."""
        return -self.phi - self.use.e_in - self.use.e_out - (self.use.alpha or 0.0)

    @property
    def aspects(self) -> int:
        return int(self.init_off != 0) + int(self.lr_off != 0)

    @property
    def by_rate(self) -> float:
        """The exponent of the constant on this use whose absence makes the learning rate right."""
        return self.lr_off / self.slope if self.slope else 0.0

    @property
    def by_rates(self) -> tuple[float, ...]:
        """The same, and that of a constant which the gradient does not see, where a function may hold one."""
        return (self.by_rate, self.lr_off) if self.forward_alone and self.slope != 1 else (self.by_rate,)

    @property
    def one_constant(self) -> float | None:
        """The exponent of the one constant on this use whose absence makes init and learning rate right; else None."""
        if not (self.init_off and self.by_rate):
            return None
        legal = self.use.bounded and self.by_rate > 0 and 0 < self.init_off <= self.by_rate  # a smaller readout is
        if legal:
            return self.by_rate
        return next((each for each in self.by_rates if abs(each - self.init_off) < TOLERANCE), None)

    def shared(self, constants: Collection[float]) -> float | None:
        """Which of the constants on its module makes this right, where it starts at zero: its rate alone shows one."""
        if self.init_off or self.init_found not in (None, ZERO):
            return None
        return next((each for each in (round(by, 3) for by in self.by_rates) if each in constants), None)


Aspect = Literal["init", "lr", "use", "line"]
ASPECTS: tuple[Aspect, Aspect] = ("init", "lr")
Cause = tuple[Aspect, str, float]


@dataclass(frozen=True)
class Edit:
    """One change: of an init, a learning rate, the constant on what a module makes, or that on a line of its own.

    place: where, repeated blocks as one; name: the very tensor or module; off: by which exponent; kind: its role.
    tensors: how many are named by saying it. imagined: whether all of it is right where what it makes has size 1, so
    that a constant on it is one that nobody wrote or left out, and an init of it takes a learning rate along.
    unseen: whether nothing points at a constant here but the gauge: none is written on what the module makes, or all
    of it is right where that has size 1.
    """

    aspect: Aspect
    kind: str
    place: str
    name: str
    off: float
    tensors: int = 1
    imagined: bool = False
    unseen: bool = False

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """A search looks edits up far more often than it makes them."""
        return hash((self.aspect, self.kind, self.place, self.name, self.off))

    @cached_property
    def spot(self) -> tuple[str, str]:
        """The place, and which of the modules that one line runs, in whatever block."""
        return self.place, pattern_of(self.name)

    @cached_property
    def cause(self) -> Cause:
        """What edits of one mistake, made in several places, have in common."""
        return self.aspect, self.kind, self.off


def owner(use: Use) -> str:
    """What a constant at a module's output belongs to: the module, when it has both a weight and a bias."""
    holder, _, leaf = use.tensor.rpartition(".")
    return holder if leaf in ("weight", "bias") else use.tensor or str(use.value.index)


def kind_of(use: Use) -> tuple[str, str | None, int | None]:
    """The use, whatever block it is in."""
    if use.tensor:
        return pattern_of(use.tensor), None, None
    return "", use.value.op.file, use.value.op.line


def edits(judged: Sequence[Judged]) -> tuple[Edit, ...]:
    """What would have to be changed for the uses of one owner to be right; nothing where they are.

    A constant on what a module makes is one change, however many of its tensors it stands on. Where one of them starts
    at zero, its learning rate alone shows the constant. One that a custom function leaves out of the gradient puts init
    and learning rate off by the same power whatever the optimizer.
    """
    found: list[Edit] = []
    constants = {round(j.one_constant, 3) for j in judged if j.one_constant is not None}
    for j in judged:
        use = j.use
        if use.kind != "tensor":
            op = use.value.op
            found += (
                [Edit("line", use.kind, f"{op.file}:{op.line}", op.module, round(j.init_off, 3))] if j.aspects else []
            )
        elif j.one_constant is not None:
            found.append(_of_module(j.use, judged, round(j.one_constant, 3)))
        elif (constant := j.shared(constants)) is not None:
            found.append(_of_module(j.use, judged, constant))
        else:
            both: list[tuple[Aspect, float]] = [("init", j.init_off), ("lr", j.lr_off)]
            found += [
                Edit(aspect, row_of(aspect, use), _place(aspect, use), use.tensor, round(off, 3))
                for aspect, off in both if off
            ]  # fmt: skip
    once: dict[tuple[str, str, float], Edit] = {}  # a tensor with two roles is wrong once where it is equally wrong
    for edit in found:
        once.setdefault((edit.aspect, edit.name, edit.off), edit)
    return tuple(once.values())


def row_of(aspect: Aspect, use: Use) -> str:
    """What a mistake goes by: learning rates of gains and biases are of one row of every table, and of one group."""
    return "vector" if aspect == "lr" and use.role in ("bias", "gain") else use.role


def _place(aspect: Aspect, use: Use) -> str:
    """The tensor, in whatever block; the module, of what is put into a group with all that it has of a row."""
    return pattern_of(owner(use) if row_of(aspect, use) == "vector" else use.tensor)


def role_of_constant(use: Use, group: Sequence[Use]) -> str:
    """The role of what a constant on a use multiplies: of the weight, where that has a bias beside it."""
    return use.role if use.tensor == group[0].tensor else group[0].role


def _of_module(use: Use, judged: Sequence[Judged], off: float) -> Edit:
    """A constant is written on a line, which runs for every block, however that is called."""
    group = [j.use for j in judged]
    name, op = owner(use), use.value.op if use.tensor == group[0].tensor else group[0].value.op
    last = name.rpartition(".")[2].rstrip("0123456789")
    place = pattern_of(name) if op.line is None else f"{op.file}:{op.line} {last}"
    named = {j.use.tensor for j in judged if j.aspects}
    return Edit("use", role_of_constant(use, group), place, name, off, len(named))
