"""The axis of depth: the number of blocks in a residual stack grows, and everything else keeps its size.

Sources: CompleteP, arXiv 2505.01618; Depth-µP, arXiv 2310.02244.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import fx, nn

from ..errors import UserError
from ..findings.discrepancy import Discrepancy
from ..judge.explanation import Explanation, Measured
from ..judge.stack_findings import explain_over_depth
from ..program.lower import Program
from ..program.stack import with_terms
from ..targets.probe import Target, WidthAxis
from ..trace.align import Aligned, Names, align
from ..trace.blocks import Blocks, renaming, repeated
from ..trace.inits import Init
from ..trace.recorder import Recording
from .axis import Third
from .deeper_stream import by_place, compared


class _Renamed(nn.Module):
    """A model seen under the names of another: `named_parameters` gives those that have a counterpart there."""

    def __init__(self, model: nn.Module, names: Names) -> None:
        super().__init__()
        self._seen = (model, names)  # in a tuple, so that it is no submodule

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        model, names = self._seen
        for name, parameter in model.named_parameters(prefix, recurse, remove_duplicate):
            renamed = names(name)
            if renamed is not None:
                yield renamed, parameter


@dataclass(frozen=True)
class Depth:
    """alpha: what one of L blocks adds to the stream is to be of size L^-alpha (1: CompleteP, 1/2: Depth-µP)."""

    alpha: float = 1.0

    def argument(self, target: Target) -> str:
        return _axes(target)[0].name

    def sizes(self, target: Target, probe: int) -> dict[str, int]:
        return target.sizes(0) | {axis.name: axis.at(probe) for axis in _axes(target)}

    def size(self, target: Target, probe: int) -> int:
        return _axes(target)[0].at(probe)

    def ratios(self, target: Target) -> tuple[float, ...]:
        return (target.depths[0].probes[1] / target.depths[0].probes[0],)

    def at(self, target: Target, pair: tuple[int, int]) -> Target:
        return replace(
            target, depths=tuple(replace(axis, probes=tuple(axis.at(each) for each in pair)) for axis in target.depths)
        )

    def align(
        self, recordings: tuple[Recording, Recording], target: Target, alone: Mapping[fx.Node, str], third: Third | None
    ) -> Aligned:
        first = recordings[0].params
        names = [_names(first, each.params) for each in (recordings[1], *(third[:1] if third else ()))]
        return align(*recordings, self.ratios(target), alone, third, [*names, *names][:2])

    def alike(self, first: nn.Module, other: nn.Module) -> nn.Module:
        few, many = (dict(each.named_parameters(remove_duplicate=False)) for each in (first, other))
        return _Renamed(other, _names(few, many))

    def read(self, program: Program) -> Program:
        """With every branch marked, where the residual stream adds it.

        Raises:
            UserError: no blocks are repeated, or widths grow with them.
        """
        blocks = _blocks(program.aligned)
        return with_terms(program, compared(program, blocks))

    def known(self, inits: Mapping[str, Init], aligned: Aligned) -> Mapping[str, Init]:
        """An init that is another one in every block does not show how it follows their number."""
        odd = set(by_place(aligned, _blocks(aligned)))
        why = "another one in every block, so how it follows their number is not known"
        return {n: replace(i, exponent=None, note=why) if n in odd else i for n, i in inits.items()}

    def judged(self, program: Program, measured: Measured) -> tuple[Explanation, list[Discrepancy]]:
        return explain_over_depth(program, measured, self.alpha)


def _axes(target: Target) -> tuple[WidthAxis, ...]:
    """Raises UserError where the model has no number of blocks that is known."""
    shared = [axis.name for axis in target.depths if axis.name in {each.name for each in target.axes}]
    if shared:
        raise UserError(f"{shared[0]} drives width and depth, which cannot be told apart along it",
                        "make the number of blocks an argument of its own, and name it: --depth NAME=2,4")  # fmt: skip
    if not target.depths:
        raise UserError(f"{target.label} has no argument that looks like a number of blocks",
                        "name the one that is: --depth NAME=2,4")  # fmt: skip
    return target.depths


def _names(first: Mapping[str, object], other: Mapping[str, object]) -> Names:
    return renaming(repeated(first.keys(), other.keys()))


def _blocks(aligned: Aligned) -> tuple[Blocks, ...]:
    found = repeated(aligned.narrow.params.keys(), aligned.wide.params.keys())
    grown = [name for name, node in aligned.narrow.params.items() if any(aligned.by_node[node].dims)]
    if grown:
        shapes = " → ".join(str(list(s)) for s in _shapes(aligned, grown[0]))
        raise UserError(f"{grown[0]} grows with the number of blocks ({shapes}): width and depth cannot be told apart",
                        "probe an argument that changes the number of blocks alone: --depth NAME=2,4")  # fmt: skip
    calls = [len(each.calls) for each in (aligned.narrow, aligned.wide)]
    if not found and calls[0] != calls[1]:
        raise UserError("the deeper model has no more parameters: the same weights run more often, a loop over depth",
                        "such a loop is not judged; --axis NAME=... reads exponents over its count")  # fmt: skip
    if not found:
        raise UserError("the deeper model has no more blocks: nothing in the names of its parameters is repeated more "
                        "often", "name the argument that says how many blocks there are: --depth NAME=2,4")  # fmt: skip
    return found


def _shapes(aligned: Aligned, name: str) -> Iterator[tuple[int, ...]]:
    op = aligned.by_node[aligned.narrow.params[name]]
    yield op.shape
    if op.wide is not None:
        yield tuple(op.wide.meta["shape"])
