"""What a plan has to say over depth: the exponents of m_L of every tensor, and multipliers that no tensor can carry.

What one of L blocks adds to the stream is to be of size L^-α; c ~ L^-α goes into the last weight layer of every branch
(init, lr and eps of it change), which is a gauge move and needs no forward code. CompleteP, arXiv 2505.01618 (α = 1);
Depth-µP, 2310.02244 (α = 1/2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from .. import analysis
from ..analysis.along_depth import Depth
from ..analysis.derive import Scaling
from ..errors import UserError
from ..findings.discrepancy import Discrepancy
from ..findings.names import pattern_of
from ..findings.power import fraction
from ..judge.cheapest import explained
from ..judge.explanation import Edited, Explanation, Measured
from ..plan.made_for import in_depth
from ..plan.scales import Entry, Hook, OverDepth
from ..program.lower import Program
from ..program.stack import is_sum
from ..program.stream import Stream
from ..program.values import COPY, Value, readers_of
from ..solve.uses import Conflict
from ..targets.probe import Target
from ..trace.align import Op
from ..trace.blocks import Blocks, block_of, repeated
from .multipliers import Hooks

ADDED = "what a block adds to the stream"


@dataclass(frozen=True)
class Deeper:
    """The part of a plan that is over depth, at the first probe of a target.

    blocks: the containers of blocks that grow with it. inside: the parameters that are in a branch of them.
    """

    scaling: Scaling
    depth: int
    blocks: tuple[Blocks, ...]
    inside: frozenset[str]

    @property
    def counts(self) -> dict[str, str]:
        """How many blocks every container holds, of a depth L."""
        return {
            pattern_of(each.container): in_depth(len(each.numbers), self.depth)
            for each in self.blocks if not each.alone
        }  # fmt: skip


class _ToConvert(Depth):
    """The axis of depth, with every tensor asked for what α asks of it; refuses what no plan can bring about."""

    def judged(self, program: Program, measured: Measured) -> tuple[Explanation, list[Discrepancy]]:
        assert program.stack is not None
        _refuse_unread(program.stack)
        return explained(program, measured, Edited(), self.alpha), []


def deeper(target: Target, alpha: float, seed: int) -> Deeper:
    """The target along its number of blocks.

    Raises:
        UserError: the user's code raised, there is no stack of blocks whose number grows alone, or what the blocks make
            is not added up in a stream that a plan could scale.
    """
    for axis in target.depths:
        if axis.listed:
            raise UserError(f"{axis.name} is a list, a number of blocks for every stage: a plan has one base for all",
                            "make one number of it that all stages grow with, and convert again")  # fmt: skip
    found = analysis.analyse(target, _ToConvert(alpha), seed=seed)
    blocks = repeated(found.recordings[0].params.keys(), found.recordings[1].params.keys())
    inside = {judged.use.tensor for judged in found.scaling.judged if judged.use.alpha is not None}
    return Deeper(found.scaling, found.target.depths[0].probes[0], blocks, frozenset(inside))


def place_on_terms(known: Deeper, hooks: Hooks) -> None:
    """Multipliers for the branches whose last word is a norm without parameters: on the output of their last module.

    Raises:
        UserError: one has no module of its own, or something from outside comes into the stream with every block.
    """
    program = known.scaling.program
    assert program.stack is not None
    readers = readers_of(program.values)
    for conflict in known.scaling.ideal.conflicts:
        if conflict.value in program.stack.joins:
            for module, exponent in _on_sum(conflict, hooks, readers):
                hooks.on_module(module, (0.0, exponent), ADDED)


def over_depth(
    entries: Mapping[str, Entry], deeper: Mapping[str, Entry], inside: frozenset[str], absorbed: bool
) -> list[Entry]:
    """Entries with the exponents of `deeper` as those over depth; of `deeper` alone where it has others.

    inside: the names of what is in a branch, where no width says what roles there are. absorbed: whether tensors carry
    what blocks add less.
    """
    found = []
    for name, over in deeper.items():
        powers = OverDepth(*over.exponents, gauge=over.gauge)
        own = entries.get(name)
        if own is None:
            role = "branch" if name in inside else "outside"
            own = replace(over, roles=(role,) if over.roles else (), init=0.0, lr=0.0, weight_decay=0.0, eps=0.0,
                          gauge=0.0)  # fmt: skip
        constant = over.start is not None and over.start.constant
        stays = over.start is not None and over.start.exponent == 0.0 and name in entries
        start = own.start if constant or stays else None
        found.append(replace(own, depth=powers, start=start, note=_noted(own, over, absorbed)))
    return found


def hooks_of_both(width: tuple[Hook, ...], depth: tuple[Hook, ...]) -> tuple[Hook, ...]:
    """Multipliers over width, with those over depth on the same places as one, then those that stand alone."""
    there = {(hook.module, hook.on, hook.part): hook for hook in depth}
    found = []
    for hook in width:
        other = there.pop((hook.module, hook.on, hook.part), None)
        if other is not None:
            notes = dict.fromkeys((hook.note, other.note))
            hook = replace(hook, depth=other.exponent, note="; ".join(notes))
        found.append(hook)
    alone = (replace(hook, exponent=0.0, depth=hook.exponent, where=None) for hook in there.values())
    return (*alone, *found)


def refuse_by_place(entries: list[Entry], blocks: tuple[Blocks, ...]) -> None:
    """Raise UserError for a block that is scaled otherwise than its like, unless it is the first: in a deeper model
    nobody knows which it is."""
    for entry in entries:
        for each in blocks:
            number = block_of(entry.pattern, each.container)
            if number and each.alone:
                raise UserError(f"{entry.pattern} stands in one list with the blocks: deeper models name it otherwise",
                                "give the layers around the blocks names of their own, and convert again")  # fmt: skip
            if number:
                raise UserError(
                    f"{entry.pattern} is scaled otherwise than its like in other blocks: which blocks these are in a "
                    "deeper model is not known",
                    "make the blocks alike in what depends on their number, and convert again",
                )


def _refuse_unread(stack: Stream) -> None:
    hint = "muaudit check --axis depth says more"
    if stack.unread:
        if any(each.post_norm for each in stack.unread):
            hint += "; TP5 (Section 6, Appendix G.2.2) found transfer over depth fragile in post-layernorm transformers"
        rows = dict.fromkeys(f"{each.where}{each.reason}" for each in stack.unread)
        raise UserError("no plan can be made over depth:\n" + "\n".join(f"  {row}" for row in rows), hint)
    for v in stack.skips:
        raise UserError(
            f"{_place(v.op)}no plan can be made over depth: the stream is multiplied by {v.factor:.4g} in every block, "
            "a product over depth",
            hint,
        )


def _place(op: Op | None) -> str:
    return f"{op.file}:{op.line}: " if op is not None and op.file else ""


def _on_sum(conflict: Conflict, hooks: Hooks, readers: Mapping[Value, list[Value]]) -> Iterator[tuple[str, float]]:
    """Modules to multiply the output of, with the exponents."""
    exponent = -abs(conflict.delta)
    power = f"m_L ** ({fraction(exponent)}), m_L being depth / base depth"
    where = _place(conflict.value.op)
    if any(arg.note == COPY for arg in conflict.value.args):
        raise UserError(f"{where}what is added here is the same in every block: no tensor carries it alone",
                        f"multiply it by {power}, in the source; convert again")  # fmt: skip
    terms = [arg for arg in conflict.value.args if arg.kind == "term"]
    for term in terms:
        module = _made_by(term.args[0], hooks, readers)
        if module is None:
            raise UserError(f"{where}what is added here needs a multiplier, and no module makes it alone",
                            f"multiply it by {power}, in the source; convert again")  # fmt: skip
        yield module, exponent


def _made_by(value: Value, hooks: Hooks, readers: Mapping[Value, list[Value]]) -> str | None:
    """The module whose output goes nowhere but into this value, by constants and views."""
    while True:
        if len(readers.get(value, ())) != 1:
            return None
        module = hooks.sides.outputs.get(value)
        if module is not None:
            return module
        if value.kind == "join" or not is_sum(value):
            return None
        value = value.args[0]


def _noted(own: Entry, over: Entry, absorbed: bool) -> str:
    """What the tensor carries over width, and over depth."""
    if not over.roles:
        return over.note
    carried = (
        "its init and rates hold the factor of what its block adds to the stream"
        if absorbed and over.init < 0.0
        else ""
    )
    return "; ".join(each for each in (own.note if own.pattern in over.pattern else "", carried) if each)
