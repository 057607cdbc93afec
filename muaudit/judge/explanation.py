"""One explanation of what is wrong with a program, and the edits under which another one is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..findings.discrepancy import Discrepancy
from ..optimizers.trained import Trained
from ..program.lower import Program
from ..program.values import Value
from ..solve.uses import Ideal
from ..trace.inits import Init
from .blame import Blame
from .edits import Judged


@dataclass(frozen=True)
class Measured:
    """What a program is held against: inits and training of its parameters by name, the bound on readout inits.

    removed: biases that what follows takes out again, by name: nothing is wrong about them.
    """

    inits: Mapping[str, Init]
    trained: Mapping[str, Trained]
    readout_bound: float
    removed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Edited:
    """A program without some constants, or trained by other rules, and the finding that says so.

    without: scalings whose constant is taken out. right: sums of activations that are taken to be right. trained: None
    for the settings as they are. cost: of the edit itself (`cost`). spares: aspects of findings that must be gone then.
    """

    found: tuple[Discrepancy, ...] = ()
    cost: float = 0.0
    without: frozenset[Value] = frozenset()
    right: frozenset[Value] = frozenset()
    trained: Mapping[str, Trained] | None = None
    spares: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Explanation:
    """The ideal exponents and the gauge under some edit, the uses judged by them, and all that is then found.

    told: the uses as the findings that are told have them, where these say that constants are wrong.
    """

    program: Program
    measured: Measured
    ideal: Ideal
    blame: Blame
    judged: tuple[Judged, ...]
    discrepancies: tuple[Discrepancy, ...]
    cost: float
    edited: Edited = field(default_factory=Edited)
    share: float = 1.0  # α, where what one block of L adds to its stream is of size L^-α
    told: tuple[Judged, ...] = ()
