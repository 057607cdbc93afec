"""Of what degree values are in one that they are made of: what is of degree 0 does not depend on its size.

x / ‖x‖ is of degree 0 in x, however the norm is written: as a layer, by `F.normalize`, or as a product with the inverse
root of a mean of squares.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable

from ..program.kinds import meaning
from ..program.values import Value


def normalised(products: Collection[Value], readers: Callable[[Value], Iterable[Value]], *, alone: bool = True) -> bool:
    """Whether everything that reads the products of a weight makes it of degree 0 in them, before anything else does.

    readers: what reads a value, later values with larger indices. alone: only biases are added to them on the way;
    else other terms may be.
    """
    degrees: dict[Value, float] = dict.fromkeys(products, 1.0)
    made = set(products)
    waiting = [(v.index, v) for v in sorted(made, key=lambda v: v.index)]
    while waiting:
        _, value = heapq.heappop(waiting)
        if value not in degrees:
            degree = meaning(value).degree(value, [degrees.get(a) for a in value.args], alone)
            if degree is None:
                return False
            degrees[value] = degree
        if not degrees[value]:
            continue
        following = list(readers(value))
        if not following:  # it is returned as it is
            return False
        for reader in following:
            if reader not in made:
                made.add(reader)
                heapq.heappush(waiting, (reader.index, reader))
    return True
