"""Edits: what would have to be changed in a model for a use of a tensor, or a constant, to be right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..findings.names import pattern_of
from ..solve.uses import Use

TOLERANCE = 0.06  # exponents closer than this are the same: a quarter of the step that they come in


@dataclass(frozen=True)
class Judged:
    """One use under the chosen gauge. None means not known; `*_off` is found − required.

    slope: by how much the learning rate that is needed rises with the exponent of an aligned entry.
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

    @property
    def multiplier(self) -> float:
        return -self.phi - self.use.e_in

    @property
    def gradient(self) -> float:
        """Exponent of the gradient in an ideal run."""
        return -self.phi - self.use.e_in - self.use.e_out

    @property
    def aspects(self) -> int:
        return int(self.init_off != 0) + int(self.lr_off != 0)

    @property
    def one_constant(self) -> float | None:
        """The exponent of the one constant on this use whose absence makes init and learning rate right; else None."""
        if not (self.init_off and self.lr_off and self.slope):
            return None
        by_lr = self.lr_off / self.slope
        bounded = self.use.role == "output" and not self.use.normalised
        legal = bounded and by_lr > 0 and self.init_off > 0  # a smaller readout is
        return by_lr if (legal and self.init_off <= by_lr) or abs(by_lr - self.init_off) < TOLERANCE else None


Aspect = Literal["init", "lr", "use", "line"]


@dataclass(frozen=True)
class Edit:
    """One change: of an init, a learning rate, the constant on a use, or that on a line without a tensor.

    place: where, repeated blocks as one; tensor: the very one; off: by which exponent of width; kind: its role.
    """

    aspect: Aspect
    kind: str
    place: str
    tensor: str
    off: float

    @property
    def cause(self) -> tuple[Aspect, str, float]:
        """What edits of one mistake, made in several places, have in common."""
        return self.aspect, self.kind, self.off


def edits(judged: Judged) -> tuple[Edit, ...]:
    """What would have to be changed for this use to be right; nothing where it is."""
    use = judged.use
    if use.kind != "tensor":
        where = f"{use.value.op.file}:{use.value.op.line}"
        return (
            (Edit("line", use.kind, where, use.value.op.module, round(judged.init_off, 3)),) if judged.init_off else ()
        )
    constant = judged.one_constant
    if constant is not None:
        place = pattern_of(owner(use))
        return (Edit("use", use.role, place, use.tensor, round(constant, 3)),)
    place = pattern_of(use.tensor)
    both: list[tuple[Aspect, float]] = [("init", judged.init_off), ("lr", judged.lr_off)]
    return tuple(Edit(aspect, use.role, place, use.tensor, round(off, 3)) for aspect, off in both if off)


def owner(use: Use) -> str:
    """What a constant at a module's output belongs to: the module, when it has both a weight and a bias."""
    holder, _, leaf = use.tensor.rpartition(".")
    return holder if leaf in ("weight", "bias") else use.tensor or str(use.value.index)


def kind_of(use: Use) -> tuple[str, str | None, int | None]:
    """The use, whatever block it is in."""
    if use.tensor:
        return pattern_of(use.tensor), None, None
    return "", use.value.op.file, use.value.op.line
