"""One mistake in a right model, of which the equations say that it is one."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from statistics import median

from .draw import Draw
from .model import Model
from .repair import folded
from .training import NONE, gradients
from .truth import Edit

HALF = Fraction(1, 2)
POWERS = (HALF, -HALF, Fraction(1), Fraction(-1))
TRIES = 30
EPS = 1.0


@dataclass(frozen=True)
class Mistake:
    """What was changed, in words; the changed model; the edits of which each kind undoes it; and how many changes of
    the code that is: a constant is one, and so is a tensor in all blocks."""

    words: str
    model: Model
    planted: tuple[Edit, ...]
    changes: int = 1

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for _, name in self.planted)


def mistake(model: Model) -> Mistake | None:
    """The first one drawn that truly is one, and that repairing what was changed repairs."""
    draw = Draw(model.choices).sub("mistake")
    for number in range(TRIES):
        found = _drawn(model, draw.sub(str(number)))
        if found is not None and not found.model.truth.explains() and found.model.truth.explains(found.planted):
            return found
    return None


def _drawn(model: Model, draw: Draw) -> Mistake | None:
    kinds = ("rate", "init", "constant", "line", "every hidden rate", "eps")
    kind = draw("kind", *kinds, weights=(3, 3, 4, 1, 0.6, 0.4))
    power = draw("power", *POWERS)
    changed = model.copy()
    if kind in ("rate", "init"):
        return _of_tensor(changed, draw, kind, power)
    if kind == "every hidden rate":
        return _of_hidden(changed, power)
    return _of_eps(changed, draw) if kind == "eps" else _of_constant(changed, draw, power, lines=kind == "line")


def _of_hidden(model: Model, power: Fraction) -> Mistake | None:
    """The learning rates of all hidden matrices."""
    hidden = [t for t in model.truth.tensors.values() if t.k and t.p]
    for tensor in hidden:
        tensor.rate += power
    names = [t.name for t in hidden]
    return Mistake(f"rate of every hidden matrix × m^{float(power):+g}", model, tuple(("rate", n) for n in names),
                   len({folded(n) for n in names}))  # fmt: skip


def _of_eps(model: Model, draw: Draw) -> Mistake | None:
    """An eps above the gradient, which is the same at every width while the gradient is not.

    Where it is below, or where a norm takes away what the tensor does and its gradient is none, it changes nothing.
    """
    if model.truth.optimizer != "adam":
        return None
    tensor = model.truth.tensors[draw("tensor", *sorted(model.truth.tensors))]
    if tensor.gradient == 0:
        return None
    for sizes in gradients(model):
        if not NONE * median(sizes.values()) < sizes[tensor.name] < EPS:
            return None
    tensor.eps = EPS
    return Mistake(f"eps of {tensor.name} is 1", model, (("eps", tensor.name),))


def _of_tensor(model: Model, draw: Draw, kind: str, power: Fraction) -> Mistake | None:
    """One tensor's init or learning rate, or that of its namesakes in all blocks."""
    name = draw("tensor", *sorted(model.truth.tensors))
    names = [name]
    if ".0." in name and draw.chance("in all blocks", 0.5):
        names = [n for n in (name, name.replace(".0.", ".1.")) if n in model.truth.tensors]
    for each in names:
        tensor = model.truth.tensors[each]
        if kind == "rate":
            tensor.rate += power
        elif tensor.law == "zero" or (tensor.law == "at most" and power < 0):
            return None
        else:
            tensor.init += power
    edits: tuple[Edit, ...] = tuple(("rate" if kind == "rate" else "init", n) for n in names)
    return Mistake(f"{kind} of {', '.join(names)} × m^{float(power):+g}", model, edits)


def _of_constant(model: Model, draw: Draw, power: Fraction, lines: bool) -> Mistake | None:
    """The exponent of one constant, in one instance of its class or in all; or the constant is forgotten."""
    sites = {k: s for k, s in model.shared.sites.items() if lines in {_is_line(o) for own in s.owners for o in own}}
    if not sites:
        return None
    site = sites[draw("site", *sorted(sites))]
    which = range(len(site.columns))
    if len(which) > 1 and draw.chance("alone", 0.5):
        which = range(draw("instance", *which), 1 + draw("instance", *which))
    forgotten = draw.chance("forgotten", 0.3)
    owners: set[str] = set()
    for i in which:
        column = site.columns[i]
        before = model.truth.found[column]
        model.truth.found[column] = Fraction(0) if forgotten else before + power
        if site.falls and model.truth.found[column] > 0:
            return None
        owners |= site.owners[i]
    words = "forgotten" if forgotten else f"× m^{float(power):+g}"
    where = "" if len(which) == len(site.columns) else f" of instance {which[0]}"
    planted: tuple[Edit, ...] = tuple(("use", o) for o in sorted(owners))
    return Mistake(f"constant {site.key}{where} {words}", model, planted)


def _is_line(owner: str) -> bool:
    return owner.startswith("line ")
