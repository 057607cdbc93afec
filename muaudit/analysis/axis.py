"""An axis: a direction in which models grow, how two of them are compared along it, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import fx, nn

from ..findings.discrepancy import Discrepancy
from ..judge.explanation import Explanation, Measured
from ..program.lower import Program
from ..targets.probe import Target
from ..trace.align import Aligned
from ..trace.inits import Init
from ..trace.recorder import Recording

Third = tuple[Recording, float]  # a recording further along the axis, and the log of its size over the second's


class Axis(Protocol):
    """All that `analyse` has to know of one. To add an axis, write a class with these methods, in one file."""

    def argument(self, target: Target) -> str:
        """What the target calls its size."""

    def sizes(self, target: Target, probe: int) -> dict[str, int]:
        """What a probe is built with, from argument to size; probes are counted from 0, and there is always a next."""

    def size(self, target: Target, probe: int) -> int:
        """The one of these that is the size along the axis."""

    def ratios(self, target: Target) -> tuple[float, ...]:
        """By how much whatever grows along the axis grows from the first probe to the second."""

    def at(self, target: Target, pair: tuple[int, int]) -> Target:
        """The target with two others of its probes as the first and the second."""

    def align(
        self, recordings: tuple[Recording, Recording], target: Target, alone: Mapping[fx.Node, str], third: Third | None
    ) -> Aligned:
        """Two recordings as one list of operations with exponents of sizes. alone, third: as `trace.align` has them."""

    def alike(self, first: nn.Module, other: nn.Module) -> nn.Module:
        """The other model with its parameters under the names that their counterparts have in the first."""

    def known(self, inits: Mapping[str, Init], aligned: Aligned) -> Mapping[str, Init]:
        """What two probes along this axis show of initializations, of what was measured."""

    def read(self, program: Program) -> Program:
        """The program, with what this axis has to see in it besides."""

    def judged(self, program: Program, measured: Measured) -> tuple[Explanation, list[Discrepancy]]:
        """A program judged as it stands, and what is wrong with it, one mistake made everywhere told once."""
