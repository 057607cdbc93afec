"""What an explanation costs: one formula for all of them.

An explanation is a set of edits. Those of one aspect, role and exponent have one cause. Then

    cost = Σ over causes (CAUSE + places) + TENSOR · edits + INIT_BEFORE_NORM · inits that a norm removes

`places` is the number of places that the edits of a cause stand in, repeated blocks counted once, or 1 where they are
all tensors of their role: a rule that was got wrong is one mistake, however many tensors follow it. The small terms
decide between explanations of equally many mistakes: fewer tensors, and an init that no later value depends on stays.
Occam's razor is all the source it has; the mutations of benchmarks/mutate.py and benchmarks/generated.py measure it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .edits import Edit

CAUSE = 1.0
TENSOR = 0.01
INIT_BEFORE_NORM = 0.05


class Tally:
    """The cost of a set of edits that changes a little at a time. Edits are counted, so each may come several times.

    roles: the tensors of every role. free: those whose product is normalised before anything else reads it.
    """

    def __init__(self, roles: Mapping[str, frozenset[str]], free: frozenset[str]) -> None:
        self.cost = 0.0
        self._roles, self._free = roles, free
        self._causes: dict[tuple[str, str, float], dict[Edit, int]] = {}

    def add(self, found: Iterable[Edit], times: int = 1) -> None:
        """Count these edits `times` more, or with −1 once less."""
        for edit in found:
            group = self._causes.setdefault(edit.cause, {})
            self.cost -= self._of(group)
            group[edit] = group.get(edit, 0) + times
            if not group[edit]:
                del group[edit]
            self.cost += self._of(group)

    def _of(self, group: Mapping[Edit, int]) -> float:
        if not group:
            return 0.0
        places = len({edit.place for edit in group})
        if places > 1:
            tensors = {edit.tensor for edit in group}
            everywhere = self._roles.get(next(iter(group)).kind)
            places = 1 if everywhere and tensors >= everywhere else places
        lost = sum(edit.aspect == "init" and edit.tensor in self._free for edit in group)
        return CAUSE + places + TENSOR * len(group) + INIT_BEFORE_NORM * lost
