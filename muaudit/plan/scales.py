"""What every tensor of a model is scaled by: exponents of m = width / base width, as plain data.

Where a plan goes over depth as well, exponents of m_L = depth / base depth stand beside them. Both can be evaluated at
any size (`at(width)`); at m = 1 every scale is exactly 1 (parametrization backward compatibility, TP5 App. H).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import TypeVar

from ..errors import UserError
from .made_for import MadeFor
from .patterns import Patterns, name_regex

_Scales = TypeVar("_Scales", bound="Scales")

SETTINGS = ("init", "lr", "weight_decay", "eps")

FORMULATIONS = ("absorbed", "table3", "table8", "table9")
"""TP5's tables, and the one whose forward multipliers are in the weights."""


@dataclass(frozen=True)
class Start:
    """How a tensor starts before the plan: the rms of its entries at the base width, and its exponent in m.

    depth: its exponent in m_L, where the plan goes over depth. constant: whether all entries are the same (zeros,
    ones).
    """

    rms: float
    exponent: float = 0.0
    constant: bool = False
    depth: float = 0.0


@dataclass(frozen=True)
class OverDepth:
    """Exponents of m_L by which one tensor's settings are multiplied. gauge: as `Entry.gauge`, of m_L."""

    init: float = 0.0
    lr: float = 0.0
    weight_decay: float = 0.0
    eps: float = 0.0
    gauge: float = 0.0

    @property
    def exponents(self) -> tuple[float, float, float, float]:
        """Those of init, learning rate, weight decay and eps."""
        return self.init, self.lr, self.weight_decay, self.eps


@dataclass(frozen=True)
class Constants:
    """Factors that one tensor's settings have at every size, as they were tuned at the base (`muaudit tune`)."""

    init: float = 1.0
    lr: float = 1.0
    weight_decay: float = 1.0
    eps: float = 1.0

    @property
    def factors(self) -> tuple[float, float, float, float]:
        """Those of init, learning rate, weight decay and eps."""
        return self.init, self.lr, self.weight_decay, self.eps


@dataclass(frozen=True)
class Entry:
    """One tensor, or all tensors of repeated blocks: its name with `*` for the block's number.

    shape: "n" for a dim that is the width, "3n" for one that grows along, "fixed" for one that stays.
    init, lr, weight_decay, eps: exponents of m. depth: those of m_L.
    gauge: exponent of m by which the tensor is stored larger than under Table 3; forward multipliers make up for it.
    optimizer: which of the plan's optimizers trains it, where these are several ("muon", "adamw").
    decays: whether weight decay is for it; not where the target's own optimizer has none for it and some for others.
    zero: whether it starts at zero, whatever it was.
    constants: what its scales are multiplied by at every size.
    start: as it was measured, None where that is not known of the model itself.
    """

    pattern: str
    roles: tuple[str, ...]
    shape: tuple[str, ...]
    init: float = 0.0
    lr: float = 0.0
    weight_decay: float = 0.0
    eps: float = 0.0
    gauge: float = 0.0
    note: str = ""
    optimizer: str = ""
    decays: bool = True
    zero: bool = False
    start: Start | None = field(default=None, compare=False)
    depth: OverDepth = OverDepth()
    constants: Constants = Constants()

    @property
    def exponents(self) -> tuple[float, float, float, float]:
        """Those of init, learning rate, weight decay and eps."""
        return self.init, self.lr, self.weight_decay, self.eps

    def matches(self, name: str) -> bool:
        """Whether the pattern covers a parameter's name; `*` stands for a number."""
        return name_regex(self.pattern).fullmatch(name) is not None


@dataclass(frozen=True)
class Part:
    """The columns from `start` to `stop` (fractions) of each of `groups` equal groups of a tensor's last dim."""

    groups: int = 1
    start: Fraction = Fraction(0)
    stop: Fraction = Fraction(1)


WHOLE = Part()


@dataclass(frozen=True)
class Hook:
    """A forward multiplier m**exponent on (a part of) the input or the output of the modules that a pattern covers.

    depth: the exponent of m_L that it has besides. constant: what it is multiplied by at every size, as tuned.
    where: the line of the source that it could stand on instead: what uses the module or, for attention logits, makes
    them; known while the plan is made.
    """

    module: str
    on: str  # "input" | "output" | "attention": what the softmax in it reads
    exponent: float
    note: str = ""
    part: Part = WHOLE
    where: tuple[str, int] | None = field(default=None, compare=False, repr=False)
    depth: float = 0.0
    constant: float = 1.0


@dataclass(frozen=True)
class Scales:
    """Those of every tensor of a model, from its parametrization to µP.

    optimizer: torch's class in lower case; "muon+adamw" where each trains a part of the tensors. profile: the school
    whose targets these are. made_for: what is known of the model, to be held against the one that it is used on.
    depth_name: the argument that is a number of blocks, where the plan goes over depth. base_depth, depth: its sizes.
    tuned: settings that were found at the base size, by name ("lr", "weight_decay", "beta2", ...).
    caveats: (name, what is said) of what transfers with reservations.
    """

    target: str
    width_name: str
    base_width: int
    width: int
    optimizer: str
    entries: tuple[Entry, ...]
    hooks: tuple[Hook, ...] = ()
    formulation: str = "absorbed"
    profile: str = "tp5"
    notes: tuple[str, ...] = field(default=())
    made_for: MadeFor | None = None
    depth_name: str = ""
    base_depth: int = 1
    depth: int = 1
    tuned: tuple[tuple[str, float], ...] = ()
    caveats: tuple[tuple[str, str], ...] = ()

    @property
    def m(self) -> float:
        """Width over base width."""
        return self.width / self.base_width

    @property
    def m_depth(self) -> float:
        """Depth over base depth: m_L."""
        return self.depth / self.base_depth

    def scale(self, exponent: float, over_depth: float = 0.0) -> float:
        """m**exponent · m_L**over_depth; exactly 1 at the base width and depth."""
        return float(self.m**exponent * self.m_depth**over_depth)

    def rms_before(self, start: Start) -> float:
        """Of the entries of a tensor that starts so, at the plan's width and depth."""
        return start.rms * self.scale(start.exponent, start.depth)

    def scales_of(self, entry: Entry) -> tuple[float, float, float, float]:
        """What a tensor's init, learning rate, weight decay and eps are multiplied by."""
        scales = map(self.scale, entry.exponents, entry.depth.exponents)
        init, lr, decay, eps = (scale * own for scale, own in zip(scales, entry.constants.factors, strict=True))
        return 0.0 if entry.zero else init, lr, decay, eps

    def multiplier(self, hook: Hook) -> float:
        """What a hook multiplies by."""
        return self.scale(hook.exponent, hook.depth) * hook.constant

    def at(self: _Scales, width: int | None = None, depth: int | None = None) -> _Scales:
        """The same for another width, or another depth.

        Raises:
            UserError: a depth for a plan that does not go over it.
        """
        if depth is not None and not self.depth_name:
            raise UserError("this plan does not go over depth", "muaudit convert --base-depth N makes one")
        return replace(self, width=self.width if width is None else width, depth=self.depth if depth is None else depth)

    @property
    def sizes(self) -> str:
        """`n_embd 128 → 256, n_layer 4 → 32`: what the plan goes over; a width that stays is not told."""
        shown = [] if self.depth_name and self.m == 1.0 else [f"{self.width_name} {self.base_width} → {self.width}"]
        shown += [f"{self.depth_name} {self.base_depth} → {self.depth}"] if self.depth_name else []
        return ", ".join(shown)

    def entry(self, names: Iterable[str]) -> Entry | None:
        """The entry for a parameter that goes by these names; an exact name beats a pattern."""
        listed = list(names)
        found = [number for name in listed if (number := self._patterns.exact(name)) is not None]
        found = found or [number for name in listed for number in self._patterns.matching(name)[:1]]
        return self.entries[min(found)] if found else None

    @cached_property
    def _patterns(self) -> Patterns:
        return Patterns(entry.pattern for entry in self.entries)

    @property
    def optimizers(self) -> tuple[str, ...]:
        """The names that tell the tensors of a split plan apart ("muon", "adamw"); none where one trains them all."""
        return tuple(dict.fromkeys(entry.optimizer for entry in self.entries if entry.optimizer))


def missing(kind: str, names: list[str]) -> UserError:
    """The error for names that do not fit."""
    shown = "\n".join(f"  {name}" for name in names[:8]) + (f"\n  and {len(names) - 8} more" if len(names) > 8 else "")
    return UserError(f"this plan is for another model: {kind}", shown)
