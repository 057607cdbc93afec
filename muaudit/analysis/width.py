"""The axis of width: all width arguments grow together, and sizes are read off the shapes of two recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import fx, nn

from ..findings.discrepancy import Discrepancy
from ..judge.cheapest import explain
from ..judge.explanation import Explanation, Measured
from ..judge.hooks import hook_in_words
from ..judge.together import united
from ..program.lower import Program
from ..targets.probe import Target
from ..trace.align import Aligned, align
from ..trace.inits import Init
from ..trace.recorder import Recording
from .axis import Axis, Third


class Width:
    """µP's axis (TP5, arXiv 2203.03466)."""

    def argument(self, target: Target) -> str:
        return target.axes[0].name

    def sizes(self, target: Target, probe: int) -> dict[str, int]:
        return target.sizes(probe)

    def size(self, target: Target, probe: int) -> int:
        return target.sizes(probe)[self.argument(target)]

    def ratios(self, target: Target) -> tuple[float, ...]:
        return tuple(axis.probes[1] / axis.probes[0] for axis in target.axes)

    def at(self, target: Target, pair: tuple[int, int]) -> Target:
        sizes = [target.sizes(number) for number in pair]
        axes = tuple(replace(axis, probes=tuple(size[axis.name] for size in sizes)) for axis in target.axes)
        return replace(target, axes=axes)

    def align(
        self, recordings: tuple[Recording, Recording], target: Target, alone: Mapping[fx.Node, str], third: Third | None
    ) -> Aligned:
        return align(*recordings, self.ratios(target), alone, third)

    def alike(self, first: nn.Module, other: nn.Module) -> nn.Module:
        return other

    def known(self, inits: Mapping[str, Init], aligned: Aligned) -> Mapping[str, Init]:
        return inits

    def read(self, program: Program) -> Program:
        return program

    def judged(self, program: Program, measured: Measured) -> tuple[Explanation, list[Discrepancy]]:
        plain, found = explain(program, measured)
        return plain, united(hook_in_words(list(found), plain.judged), plain.judged, measured.trained)


WIDTH: Axis = Width()
