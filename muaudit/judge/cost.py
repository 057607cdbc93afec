"""What an explanation costs: one formula for all of them.

An explanation is a set of edits, and a gauge. Edits of one aspect, role and exponent have one cause. Then

    cost = Σ over causes (CAUSE + places, or IMAGINED times that)
           + TENSOR · tensors in places + INIT_BEFORE_NORM · inits that a norm removes
           + UNSEEN · causes that are constants at which only the gauge points
           + Σ over what the gauge leaves open (SHIFT · |exponent of its size where it is read|, and the claim of
             another size: SIZE, SIZE_ALONE or nothing)
           + Σ over constants that are taken out of a line (CAUSE + 1 + LINE)

`places` is the number of places that the edits of a cause stand in, repeated blocks counted once, or 1 where they are
all there are of their role: a rule that was got wrong is one mistake, however many tensors follow it. A gauge whose
activations are not of size 1 is a claim of its own, as no published table has one (TP5 Tables 3, 8 and 9), and has to
explain more than a mistake (SIZE_ALONE). Where what makes the value has both the init and the learning rate that it
takes for that size, or something that makes or reads it has one of the two that is written for this size, it was made
like that: a smaller claim than a mistake in it would be (SIZE). Written is an exponent that one does not have by doing
nothing: a learning rate that depends on width other than all do, an init other than a constant and 1/sqrt(fan_in).
Where no homogeneous function reads the value, only matrices, its size is a matter of to which of two tensors the
constant between them is counted: no claim, unless there is no such constant, nothing that makes the value has the init
either, and nothing is written for it (SIZE_ALONE). A claim is taken for nothing where it leaves nothing to explain, and
is made once for what the same makes in repeated blocks.

A constant on a tensor that is right where what it makes has size 1, and behind which none is written, stands nowhere
and was not left out: what such a gauge asks for are an init and a learning rate, two mistakes (IMAGINED), unless the
place has a constant to mend in another block. So are they where the learning rate is not known and the init is right.

The small terms decide between explanations of equally many mistakes: no constant where none is written, or on what is
right at size 1; then values nearer to size 1, then fewer tensors; and an init that no later value depends on stays,
unless the learning rate is the one that the tables have. Learning rates of gains and biases are of one row of them.
benchmarks/mutate.py and benchmarks/generated.py measure it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .edits import Cause, Edit

CAUSE = 1.0
SIZE = 1.55
SIZE_ALONE = 2.05
IMAGINED = 2  # an init and a learning rate
LINE = 0.5  # a constant on a line that belongs to no tensor, over one that does
INIT_BEFORE_NORM = 0.05
UNSEEN = 0.04
TENSOR = 0.002
SHIFT = 0.01


class Tally:
    """The cost of a set of edits that changes a little at a time. Edits are counted, so each may come several times.

    everywhere: all names that edits of an aspect and role can have. free: those whose product is normalised before
    anything else reads it.
    """

    def __init__(self, everywhere: Mapping[tuple[str, str], frozenset[str]], free: frozenset[str]) -> None:
        self.cost = 0.0
        self._everywhere, self._free = everywhere, free
        self._causes: dict[Cause, _Counted] = {}

    def change(self, before: Sequence[Edit], after: Sequence[Edit]) -> None:
        """Count the edits `before` once less and those `after` once more."""
        touched: dict[Cause, _Counted] = {}
        for edits, times in ((before, -1), (after, 1)):
            for edit in edits:
                counted = self._causes.get(edit.cause)
                if counted is None:
                    names = self._everywhere.get((edit.aspect, edit.kind), frozenset())
                    counted = self._causes[edit.cause] = _Counted(len(names))
                counted.count(edit, times, edit.aspect == "init" and edit.name in self._free)
                touched[edit.cause] = counted
        for counted in touched.values():
            self.cost += counted.recost()


class _Counted:
    """The edits of one cause: by name, and by place with the tensors that it names. everywhere: names there can be.

    A search counts far more often than it does anything else: how many keys of a dict are above zero stands beside it.
    """

    def __init__(self, everywhere: int) -> None:
        self._everywhere = everywhere
        self._edits: dict[tuple[str, str], int] = {}  # by name and place: a module may have several lines
        self._of_name: dict[str, int] = {}
        self._names = 0
        self._of_place: dict[str, int] = {}  # repeated blocks once
        self._places = 0
        self._of_spot: dict[tuple[str, str], int] = {}
        self._spots = 0
        self._real_of: dict[tuple[str, str], int] = {}  # of a spot, the edits that are not imagined
        self._real = 0
        self._tensors: dict[str, int] = {}  # of a place, while it is one
        self._named = 0  # all of these together
        self._lost = 0
        self._seen = 0  # edits that more than the gauge points at
        self._cost = 0.0

    def count(self, edit: Edit, times: int, lost: bool) -> None:
        """Count it once more, or once less. times: 1, or -1."""
        edge = times > 0  # how many there are now, where it is the first or was the last
        place, spot, key = edit.place, edit.spot, (edit.name, edit.place)
        self._edits[key] = there = self._edits.get(key, 0) + times
        if there == edge:  # repeats of one edit are one
            self._of_name[edit.name] = there = self._of_name.get(edit.name, 0) + times
            self._names += times * (there == edge)
            self._of_place[place] = there = self._of_place.get(place, 0) + times
            self._places += times * (there == edge)
            self._of_spot[spot] = there = self._of_spot.get(spot, 0) + times
            self._spots += times * (there == edge)
            self._lost += lost * times
        if not edit.imagined:
            self._real_of[spot] = there = self._real_of.get(spot, 0) + times
            self._real += times * (there == edge)
        tensors = edit.tensors if self._of_place[place] else 0
        self._named += tensors - self._tensors.get(place, 0)
        self._tensors[place] = tensors
        if not edit.unseen:
            self._seen += times

    def recost(self) -> float:
        """By how much the cost has changed."""
        before, self._cost = self._cost, self._now()
        return self._cost - before

    def _now(self) -> float:
        if not self._names:
            return 0.0
        places, imagined = self._places, 0
        if self._names == self._everywhere:
            places, imagined = 1, int(not self._real)
        elif self._real < self._spots:
            imagined = len({spot[0] for spot, count in self._of_spot.items() if count and not self._real_of.get(spot)})
        again = (0.0 if self._real else CAUSE) + imagined
        small = TENSOR * self._named + INIT_BEFORE_NORM * self._lost + (0.0 if self._seen else UNSEEN)
        return CAUSE + places + (IMAGINED - 1) * again + small


def of_gauge(
    shifts: Mapping[int, float], alike: Mapping[int, int], claims: Mapping[int, float], scaled: Mapping[int, float]
) -> float:
    """What a gauge costs by itself.

    alike: a number for every anchor, the same where the same makes them in all blocks. claims: what a size other than
    1 costs, of anchors. scaled: by which exponent the values of anchors are scaled before they are read.
    """
    taken: dict[tuple[int, float], float] = {}
    for anchor in shifts.keys() | scaled.keys():
        size = round(shifts.get(anchor, 0.0) + scaled.get(anchor, 0.0), 6)
        key = alike.get(anchor, anchor), size
        taken[key] = max(taken.get(key, 0.0), claims.get(anchor, 0.0))
    return sum(SHIFT * abs(size) + claim for (_, size), claim in taken.items())
