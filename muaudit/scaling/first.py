"""What the first probe, and training it for a few updates, has told for estimates at other widths (`sizes`).

It is measured by `muaudit.training.first`; here is only what the estimates need of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..program.values import Value
from ..trace.overlap import Overlap
from ..trace.response import Product, Response

Path = Sequence[Sequence[float]]


@dataclass(frozen=True)
class First:
    """Measured at the first probe. sizes: root mean squares; gradients: those of the parameters' gradients.

    overlaps: how alike the vectors of both factors of a contraction are (`capture.overlap`).
    responses: how values answered some updates; none where only sizes at initialization were measured.
    paths: how far each parameter comes in as many updates, at [i][k] where every gradient has the cosine i/n with the
        one before and is k/n times as large, i and k from 0 to n; by the parameter's name.
    """

    sizes: dict[Value, float]
    overlaps: dict[Value, tuple[Overlap, Overlap]]
    gradients: Mapping[str, float]
    responses: dict[Value, Response] = field(default_factory=dict)
    paths: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Course:
    """How training goes on after the first update, at one width.

    left: how large the gradient with respect to the outputs still is, as a part of the first one; along: the same of
    its part in the direction in which the outputs have moved, negative beyond the minimum. alike: cosine between
    the first two gradients of every parameter, by name.
    """

    left: float = 1.0
    along: float = 1.0
    alike: Mapping[str, float] = field(default_factory=dict)


def come(path: Path, alike: float, left: float) -> float:
    """How far a parameter comes, between the points of its `First.paths`."""
    (i, a), (k, b) = (_cell(min(1.0, abs(x)) * (len(path) - 1), len(path) - 2) for x in (alike, left))
    low, high = (path[row][k] * (1 - b) + path[row][k + 1] * b for row in (i, i + 1))
    return low * (1 - a) + high * a


def _cell(place: float, last: int) -> tuple[int, float]:
    low = min(int(place), last)
    return low, place - low


def averaged(firsts: Sequence[First]) -> First:
    """Of several initializations; what only some of them could tell is that of these."""
    one = firsts[0]
    return replace(
        one,
        sizes={v: _mean([each.sizes[v] for each in firsts if v in each.sizes]) for v in one.sizes},
        gradients={n: _mean([each.gradients[n] for each in firsts if n in each.gradients]) for n in one.gradients},
        responses={v: _response([each.responses[v] for each in firsts if v in each.responses]) for v in one.responses},
    )


def _response(found: Sequence[Response]) -> Response:
    products = [each.product for each in found if each.product is not None]
    product = None
    if len(products) == len(found):
        first, second = (math.hypot(*x) / math.sqrt(len(x)) for x in zip(*(p.parts for p in products), strict=True))
        product = Product(_mean([p.change for p in products]), (first, second))
    return Response(_mean([each.size for each in found]), _mean([each.change for each in found]), product)


def _mean(sizes: Sequence[float]) -> float:
    """Of the logarithms; the root mean square where some are zero."""
    if all(sizes):
        return math.exp(sum(map(math.log, sizes)) / len(sizes))
    return math.hypot(*sizes) / math.sqrt(len(sizes))
