"""The gauge under which the least has to be changed: a local search over the anchors that the equations leave open.

A move takes an anchor, or the like anchors of all blocks, to where some use becomes exactly right, or to where two uses
of one tensor ask for one learning rate. It is followed by the best moves of what it and those that followed touch, as
far as each costs less, and kept where all together cost less (see `cost`). The search starts from three gauges: values
of size 1, every learning rate right as far as they agree, every init right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..program.expression import Expr
from ..thresholds import LOOKAHEAD, TOLERANCE
from .cost import SIZE, SIZE_ALONE, Tally, of_gauge
from .edits import Edit
from .repeated import colours

ROUNDS = 6
_TRIED = 4
"""How many anchors are tried that nobody could tell apart."""

Move = tuple[int, ...]  # anchors that are moved together
Shifts = dict[int, float]


@dataclass
class Problem:
    """What the search needs to know of a model.

    exprs: the exponent of every use, of the anchors. groups: the numbers of the uses of every owner. kinds: what tells
    one of these from another. edits: what makes a group right, its uses at these exponents, and whether what it makes
    has another size than 1. right: exponents at which a use would be right in one respect. shared: the numbers of the
    uses of every tensor with several. lr_off: by how much a learning rate is off at an exponent, and by how much less
    per exponent; None where that is not known. alike: anchors in the same
    place of repeated blocks, or made by the same in all of them; made: a number for every anchor, the same where the
    same makes them. sized: those of values that a homogeneous function reads; removed: those of sizes that a norm takes
    away; scaled: those of values that are scaled before they are read, and by which exponent. with_constant: the groups
    behind which a constant is written. written: whether a use at this exponent is right where no default would be.
    """

    exprs: Sequence[Expr]
    groups: Sequence[Sequence[int]]
    kinds: Sequence[Hashable]
    edits: Callable[[int, Sequence[float], bool], tuple[Edit, ...]]
    right: Callable[[int, float], Iterable[float]]
    shared: Sequence[Sequence[int]]
    lr_off: Callable[[int, float], tuple[float, float] | None]
    alike: Sequence[Sequence[int]]
    made: Mapping[int, int]
    sized: frozenset[int]
    removed: frozenset[int]
    scaled: Mapping[int, float]
    with_constant: Sequence[bool]
    written: Callable[[int, float], bool]
    tally: Callable[[], Tally]
    starts: Sequence[Shifts] = field(default_factory=list)


def search(problem: Problem) -> tuple[Shifts, float]:
    """Shifts of the anchors under which the uses cost least, and what they cost then."""
    best = _Searcher(problem, {})
    if best.complete:
        return {}, 0.0
    best.run()
    for start in problem.starts:
        if best.complete:
            break
        other = _Searcher(problem, start)
        other.run()
        if other.complete or other.cost < best.cost - 1e-9:
            best = other
    return best.shifts, best.cost


class _Searcher:
    def __init__(self, problem: Problem, start: Shifts) -> None:
        self.problem = problem
        self.shifts: Shifts = {anchor: shift for anchor, shift in start.items() if shift}
        self.phis = [expr.const + sum(c * start.get(v, 0.0) for v, c in expr.terms.items()) for expr in problem.exprs]
        self.tally = problem.tally()
        self.makes = [
            {v for i in group for v, c in problem.exprs[i].terms.items() if c > 0} for group in problem.groups
        ]
        self.now: list[tuple[Edit, ...]] = []
        self.group_of: dict[int, int] = {}
        for number, group in enumerate(problem.groups):
            self.group_of |= dict.fromkeys(group, number)
            self.now.append(self._edits(number))
            self.tally.change((), self.now[-1])
        self.holders: dict[int, list[int]] = {}
        for index, expr in enumerate(problem.exprs):
            for anchor in expr.terms:
                self.holders.setdefault(anchor, []).append(index)
        anchors = [(anchor,) for anchor in self.holders]
        self.moves: list[Move] = [*(tuple(each) for each in problem.alike if len(each) > 1), *anchors]
        self.reach = {move: _reach(move, self.holders, problem.exprs) for move in self.moves}
        self.touched = {move: {self.group_of[index] for index, _ in held} for move, held in self.reach.items()}
        self.near: dict[Move, list[Move]] = {}
        self.moves_of: dict[int, list[int]] = {}
        for number, move in enumerate(self.moves):
            for anchor in move:
                self.moves_of.setdefault(anchor, []).append(number)
        self.shared = {index: held for held in problem.shared for index in held}
        self.colours = _repeated(problem)

    @property
    def cost(self) -> float:
        claims = {anchor: self._claim(anchor) for anchor in self.shifts if anchor not in self.problem.removed}
        return self.tally.cost + of_gauge(self.shifts, self.problem.made, claims, self.problem.scaled)

    def _claim(self, anchor: int) -> float:
        """What it costs that the activations of this anchor have another size: less where something was made for it.

        Where matrices alone read them, nothing then.
        """
        makers = {self.group_of[i] for i in self.holders.get(anchor, ()) if self.problem.exprs[i].terms[anchor] > 0}
        if anchor in self.problem.sized:
            fits = bool(makers) and not any(self.now[number] for number in makers)
            return SIZE if fits or self._made_for(anchor) else SIZE_ALONE
        fits = not makers or any(all(edit.aspect == "lr" for edit in self.now[number]) for number in makers)
        behind = any(self.problem.with_constant[number] for number in makers)
        return 0.0 if fits or behind or self._made_for(anchor) else SIZE_ALONE

    def _made_for(self, anchor: int) -> bool:
        """Whether an init or a learning rate that somebody wrote is right where the activations have this size."""
        return any(self.problem.written(index, self.phis[index]) for index in self.holders.get(anchor, ()))

    @property
    def complete(self) -> bool:
        """Whether nothing is left to explain."""
        return not any(self.now)

    def run(self) -> None:
        in_vain: set[Move] = set()  # as things stand
        for _ in range(ROUNDS):
            moved, alike = False, _Alike(self)
            for move in self.moves:
                if alike.enough_of(move) or move in in_vain:
                    continue
                if self._improve(move):
                    moved, alike = True, _Alike(self)
                    in_vain.clear()
                else:
                    in_vain.add(move)
            if not moved:
                return

    def _improve(self, move: Move) -> bool:
        """Take the best move of these anchors, with what may follow it, if there is one that costs less."""
        before, kept = self.cost, None
        best = before - 1e-9
        for step in list(self._steps(move)):
            taken = [(move, step)]
            self._take(move, step)
            for _ in range(LOOKAHEAD):
                if self.complete or self.cost < before - 1e-9:
                    break
                following = self._best_near([each for each, _ in taken])
                if following is None:
                    break
                taken.append(following)
                self._take(*following)
            cost = 0.0 if self.complete else self.cost
            if cost < best:
                best, kept = cost, list(taken)
            for each, by in reversed(taken):
                self._take(each, -by)
        for each, by in kept or ():
            self._take(each, by)
        return kept is not None

    def _best_near(self, taken: Sequence[Move]) -> tuple[Move, float] | None:
        """The move of what shares a use with anchors moved so far that costs least, if it costs less than none."""
        best, found, alike = self.cost - 1e-9, None, _Alike(self)
        for other in dict.fromkeys(near for move in taken for near in self._neighbours(move)):
            if other in taken or alike.enough_of(other):
                continue
            for step in list(self._steps(other)):
                self._take(other, step)
                cost = self.cost
                if cost < best:
                    best, found = cost, (other, step)
                self._take(other, -step)
        return found

    def _neighbours(self, move: Move) -> list[Move]:
        if move not in self.near:
            touched = {i for anchor in move for i in self.holders[anchor]}
            anchors = {anchor for i in touched for anchor in self.problem.exprs[i].terms} - set(move)
            wide = len(move) > 1
            numbers = {number for anchor in anchors for number in self.moves_of[anchor]}
            near = [self.moves[number] for number in sorted(numbers)]
            self.near[move] = [m for m in near if (wide or len(m) == 1) and anchors.issuperset(m)]
        return self.near[move]

    def _steps(self, move: Move) -> Iterator[float]:
        """By how much to shift these anchors for some use that they decide to be right in some respect.

        Or for another use of its tensor to be as wrong: then what is to be done to the tensor is one thing.
        """
        steps: set[float] = set()
        slopes = dict(self.reach[move])
        for index, slope in slopes.items():
            if slope and self.now[self.group_of[index]]:
                phi = self.phis[index]
                steps |= {round((wanted - phi) / slope, 6) for wanted in self.problem.right(index, phi)}
                steps |= {round(step, 6) for step in self._agreements(index, slopes)}
        yield from sorted(steps - {0.0}, key=abs)

    def _agreements(self, index: int, slopes: Mapping[int, float]) -> Iterator[float]:
        """The steps after which other uses of its tensor ask for the learning rate that this one asks for."""
        one = self.problem.lr_off(index, self.phis[index])
        for number in self.shared.get(index, ()):
            other = self.problem.lr_off(number, self.phis[number])
            if one is None or other is None:
                continue
            faster = one[1] * slopes[index] - other[1] * slopes.get(number, 0.0)
            if abs(faster) > TOLERANCE:
                yield (one[0] - other[0]) / faster

    def _take(self, move: Move, step: float) -> None:
        for anchor in move:
            shift = round(self.shifts.pop(anchor, 0.0) + step, 6)
            if shift:
                self.shifts[anchor] = shift
        for index, slope in self.reach[move]:
            self.phis[index] += slope * step
        for number in self.touched[move]:
            found = self._edits(number)
            if found != self.now[number]:
                self.tally.change(self.now[number], found)
                self.now[number] = found

    def state(self, anchor: int) -> Hashable:
        """How things stand with what an anchor decides, whatever its names."""
        held = self.holders[anchor]
        numbers = dict.fromkeys(self.group_of[index] for index in held)
        causes = tuple(edit.cause for number in numbers for edit in self.now[number])
        return self.shifts.get(anchor, 0.0), tuple(round(self.phis[index], 6) for index in held), causes

    def _edits(self, number: int) -> tuple[Edit, ...]:
        resized = not self.makes[number].isdisjoint(self.shifts)
        return self.problem.edits(number, [self.phis[i] for i in self.problem.groups[number]], resized)


class _Alike:
    """Counts the moves of single anchors of which each would do what another one does, as things stand."""

    def __init__(self, searcher: _Searcher) -> None:
        self.searcher = searcher
        self.tried: Counter[Hashable] = Counter()

    def enough_of(self, move: Move) -> bool:
        """Whether enough like this one have been asked about, itself not counted."""
        colour = self.searcher.colours.get(move[0])
        if colour is None or len(move) > 1:
            return False
        key = colour, self.searcher.state(move[0])
        self.tried[key] += 1
        return self.tried[key] > _TRIED


def _repeated(problem: Problem) -> dict[int, int]:
    """The colours of anchors that share theirs with more than are tried."""
    found = colours(problem.exprs, problem.groups, problem.kinds, LOOKAHEAD)
    counts = Counter(found.values())
    return {anchor: colour for anchor, colour in found.items() if counts[colour] > _TRIED}


def _reach(move: Move, holders: Mapping[int, Sequence[int]], exprs: Sequence[Expr]) -> list[tuple[int, float]]:
    """The uses that a move of these anchors changes, and by how much each."""
    held = dict.fromkeys(index for anchor in move for index in holders[anchor])
    return [(index, sum(exprs[index].terms.get(anchor, 0.0) for anchor in move)) for index in held]
