"""What is wrong over depth: uses judged by the engine's equations, and told as what a stack of blocks knows of.

The stream is of size 1, what one of L blocks adds to it of size L^-α. Both published choices are tried, α = 1
(CompleteP, arXiv 2505.01618) and α = 1/2 (Depth-µP, arXiv 2310.02244), and the one with less to say is kept: a
model that follows the other school than the one asked for is told so once, not tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..findings.discrepancy import Aspect, Discrepancy
from ..findings.names import pattern_of, pattern_of_all
from ..program.lower import Program
from ..program.stack import is_sum
from ..program.stream import OUTSIDE, Stream
from ..program.values import COPY, ZERO, Value, arguments, beyond, readers_of
from ..thresholds import TOLERANCE
from .cheapest import explained
from .edits import Judged
from .explanation import Edited, Explanation, Measured
from .together import merged

SHARES = (1.0, 0.5)
_OF_TENSORS = ("init", "lr", "multiplier")


def explain_over_depth(program: Program, measured: Measured, alpha: float) -> tuple[Explanation, list[Discrepancy]]:
    """The program judged, and what is wrong with it over depth. alpha: the share that is asked for where both fit."""
    stack = program.stack
    assert stack is not None
    broken = list(_broken(stack))
    if stack.unread or broken:
        plain = explained(program, measured, Edited(), alpha)
        return replace(plain, judged=(), discrepancies=()), broken
    tried = [explained(program, measured, Edited(), share) for share in sorted(SHARES, key=lambda s: s != alpha)]
    if all(each.discrepancies for each in tried):  # a stream of another size is taken for one that fits everything
        others = [explained(program, measured, Edited(), each.share, pinned=False) for each in tried]
        tried = [each for each in others if not each.discrepancies] or tried
    told = [(each, _told(each, stack, alpha)) for each in tried]
    return min(told, key=lambda pair: (len(pair[1]), pair[0].cost))


def _told(found: Explanation, stack: Stream, alpha: float) -> list[Discrepancy]:
    """What is said under one explanation."""
    ignored = _ignored(found, stack)
    if ignored is not None:
        return [ignored]
    return [*_Teller(found, stack).told(), *([_lazy(found, stack)] if found.share < 1.0 <= alpha else [])]


# -- a stream that is no sum of equal terms --------------------------------------------------------------------------
def _broken(stack: Stream) -> Iterator[Discrepancy]:
    """What keeps the stream from being a sum whose terms can be judged, one by one."""
    for each in stack.unread:
        if each.gain and each.op is not None:
            yield Discrepancy("skip_gain", None, (), "", 0.0, 0.0, each.op.file, each.op.line, module=each.op.module)
    lines: dict[tuple[str | None, int | None], list[Value]] = {}
    for v in stack.skips:
        lines.setdefault((v.op.file, v.op.line), []).append(v)
    for values in lines.values():
        op = values[0].op
        yield Discrepancy("skip_scaled", None, (), "", 0.0, 0.0, op.file, op.line, module=pattern_of(op.module),
                          values=(values[0].factor,))  # fmt: skip


# -- a model that does not know of depth -----------------------------------------------------------------------------
def _ignored(found: Explanation, stack: Stream) -> Discrepancy | None:
    """The one finding for a model in which nothing follows depth, or initializations alone do; None for any other."""
    constants = [v for v in found.program.values if v.kind == "scale" and v.c not in (0.0, ZERO)]
    rates = [how for how in found.measured.trained.values() if how.lr and how.lr_exponent != 0.0]
    inits = {
        name: init.exponent
        for name, init in found.measured.inits.items()
        if init.exponent not in (0.0, ZERO) and not init.note
    }
    inside = {j.use.tensor for j in found.judged if j.use.alpha is not None}
    if constants or rates or not inside or None in inits.values() or not inits.keys() <= inside:
        return None
    if not any(j.aspects for j in found.judged) and not found.ideal.conflicts:
        return None
    if inits and all(d.aspect == "lr" and set(d.tensors) <= inits.keys() for d in found.discrepancies):
        return None  # these inits are right as they are
    at = _first_sum(stack).op
    if not inits:
        return Discrepancy("depth_ignored", None, (), "", 0.0, -found.share, at.file, at.line, module=at.module,
                           optimizer=_family(found), values=(_start(found),))  # fmt: skip
    exponents = [float(each or 0.0) for each in inits.values()]
    names = tuple(inits)
    return Discrepancy("depth_in_init", None, names, pattern_of_all(names), min(exponents), -found.share, at.file,
                       at.line, optimizer=_family(found))  # fmt: skip


def _start(found: Explanation) -> float:
    """Whether branches start at something other than zero: 1, else 0."""
    zero = all(each.exponent == ZERO for each in found.measured.inits.values())
    return 0.0 if zero else 1.0


def _family(found: Explanation) -> str:
    return next((how.family for how in found.measured.trained.values()), "")


def _first_sum(stack: Stream) -> Value:
    return min((v for v, _ in stack.terms), key=lambda v: v.index)


def _lazy(found: Explanation, stack: Stream) -> Discrepancy:
    at = _first_sum(stack).op
    return Discrepancy("depth_lazy", None, (), "", -found.share, -1.0, at.file, at.line, module=at.module)


# -- findings in the words of a stack --------------------------------------------------------------------------------
class _Teller:
    """Turns what the engine found into findings about branches, and about what is outside of them."""

    def __init__(self, found: Explanation, stack: Stream) -> None:
        self.found, self.stack = found, stack
        self.readers = readers_of(found.program.values)
        self.wrong: dict[str, list[Judged]] = {}
        for j in found.judged:
            if j.aspects:
                self.wrong.setdefault(j.use.tensor, []).append(j)

    def told(self) -> list[Discrepancy]:
        return _united([self._of(d) for d in self.found.discrepancies], self._lines())

    def _lines(self) -> set[tuple[str | None, int | None]]:
        return {(v.op.file, v.op.line) for v, _ in self.stack.terms}

    def _of(self, d: Discrepancy) -> Discrepancy:
        uses = [j for name in d.tensors for j in self.wrong.get(name, ())]
        if d.aspect == "join":
            return self._of_sum(d)
        if d.aspect not in _OF_TENSORS:
            return replace(d, aspect="depth_contraction", detail=d.aspect)
        if not any(j.use.alpha is not None for j in uses):
            return replace(d, aspect="outside_depth", detail=d.aspect, role=None)
        if d.aspect == "multiplier":
            return self._of_branch(d, uses)
        aspect: Aspect = "branch_init" if d.aspect == "init" else "branch_lr"
        return replace(d, aspect=aspect, detail=self._said_of(d, uses))

    def _said_of(self, d: Discrepancy, uses: Iterable[Judged]) -> str:
        """`layerscale`: of a gain whose init follows depth while its learning rate does not; `both`: of an init that
        follows depth although a constant does."""
        if d.aspect == "lr":
            gain = [j for j in uses if j.use.value.kind == "mul" and j.init_found not in (0.0, ZERO, None)]
            return "layerscale" if gain and abs(d.found) < TOLERANCE else ""
        constants = [v for v in self.found.program.values if v.kind == "scale" and v.c not in (0.0, ZERO)]
        return "both" if constants and d.found < -TOLERANCE else ""

    def _of_branch(self, d: Discrepancy, uses: list[Judged]) -> Discrepancy:
        """A constant on what a branch adds: where it is added."""
        alpha = self.found.share
        term = self._term(uses[0].use.value)
        found, expected = d.found - alpha, d.expected - alpha
        d = replace(d, aspect="branch_multiplier", role=None, found=found + 0.0, expected=expected + 0.0, values=())
        return self._placed(d, term)

    def _of_sum(self, d: Discrepancy) -> Discrepancy:
        """Two sizes that meet in a sum: of the stream, a branch whose size a norm has fixed; else within a branch."""
        conflict = next(
            (c for c in self.found.ideal.conflicts if (c.value.op.file, c.value.op.line) == (d.file, d.line)), None
        )
        value = conflict.value if conflict is not None else None
        if value is not None and any(a.note == COPY for a in value.args):
            return replace(d, aspect="into_every_block", consequence="")
        if value is None or value not in self.stack.joins:
            return replace(d, aspect="depth_contraction", detail="join")
        term = next((a for a in value.args if a.kind == "term"), None)
        alpha = self.found.share
        off = conflict.delta if conflict is not None else 0.0
        d = replace(d, aspect="branch_multiplier", found=abs(off) - alpha + 0.0, expected=-alpha, consequence="")
        return self._placed(d, term)

    def _term(self, value: Value) -> Value | None:
        """The term of the stream that a value leads to."""
        if value.kind == "term":
            return value
        return next((v for v in beyond(value, lambda v: self.readers.get(v, []), lambda v: v.kind != "term")
                     if v.kind == "term"), None)  # fmt: skip

    def _placed(self, d: Discrepancy, term: Value | None) -> Discrepancy:
        detail = "missing" if abs(d.found) < TOLERANCE else "wrong"
        if term is None:
            return replace(d, detail=detail)
        if detail == "missing" and self._erased(term):
            detail = "erased"
        return replace(d, detail=detail, file=term.op.file, line=term.op.line)

    def _erased(self, term: Value) -> bool:
        """Whether a constant that follows depth stands in the branch before something that takes sizes away."""
        own = self.stack.origins.get(term.args[0], frozenset())

        def inside(v: Value) -> bool:
            return bool(self.stack.origins.get(v, frozenset()) & own - {OUTSIDE}) and v not in self.stack.joins

        branch = [term.args[0], *beyond(term.args[0], arguments, inside)]
        constants = [v for v in branch if v.kind == "scale" and v.c not in (0.0, ZERO) and inside(v)]
        return any(self._normalised(v) for v in constants)

    def _normalised(self, v: Value) -> bool:
        followers = beyond(v, lambda v: self.readers.get(v, []), is_sum)
        return any(each.kind in ("norm", "softmax") or each.normalises for each in followers)


def _united(found: list[Discrepancy], lines: set[tuple[str | None, int | None]]) -> list[Discrepancy]:
    """One mistake made in several places is one finding. Of constants in branches, those that stand on one line, or in
    all branches there are; of settings of tensors, those that are off alike."""
    groups: dict[tuple[object, ...], list[Discrepancy]] = {}
    for d in found:
        groups.setdefault((d.aspect, round(d.found, 3), round(d.expected, 3), d.optimizer, d.detail), []).append(d)
    out: list[Discrepancy] = []
    for group in groups.values():
        if group[0].aspect == "depth_contraction":
            out += group
            continue
        if group[0].aspect != "branch_multiplier" or {(d.file, d.line) for d in group} >= lines:
            out.append(merged(group))
            continue
        places: dict[tuple[object, ...], list[Discrepancy]] = {}
        for d in group:
            places.setdefault((d.file, d.line), []).append(d)
        out += map(merged, places.values())
    return out
