"""A size inside the model that was meant to grow with the width and does not: the cause behind several findings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from .. import ops
from ..findings.discrepancy import Discrepancy
from ..findings.names import braced, pattern_of
from ..judge.edits import Judged
from ..ops.products import Convolves
from ..program.use import Use
from ..program.values import MOVED, ZERO, Value
from .derive import Scaling

_FUSED = (1, 2, 3)  # how many products one matrix makes at once: gate and up; queries, keys and values


def left_behind(found: Sequence[Discrepancy], scaling: Scaling, probes: Sequence[int]) -> list[Discrepancy]:
    """`found`, with one finding for every inner size that stays at a multiple of a probe, in place of what hangs on it.

    An inner size is what a weight contracts that is neither input data nor grown. Where no more of the weights around
    it would be right if it grew, the size is fixed on purpose and nothing is said of it.
    """
    kept = list(found)
    if not any(_reaches_the_ends(j) for j in scaling.judged):
        return kept
    for size, tensors in _inner_sizes(scaling).items():
        width = next((probe for probe in probes[:2] if size % probe == 0), None)
        hanging = [d for d in kept if d.tensors and set(d.tensors) <= tensors]
        if width is None or not hanging or not _explains(tensors, scaling):
            continue
        names = tuple(name for name in scaling.inits if name in tensors)
        serious = any(d.aspect in ("init", "lr", "multiplier") for d in hanging)
        first = hanging[0]
        kept = [d for d in kept if d not in hanging]
        pattern = braced([pattern_of(name) for name in names])
        kept.append(Discrepancy("left_behind", None, names, pattern, 0.0, 1.0, first.file, first.line,
                                values=(float(size), float(width), float(probes[1])),
                                detail="wrong" if serious else ""))  # fmt: skip
    return kept


def _explains(tensors: Collection[str], scaling: Scaling) -> bool:
    """Whether less of these tensors is wrong if the size between them is read as one that grows."""
    around = [j for j in scaling.judged if j.use.tensor in tensors]
    return sum(_if_it_grew(j, scaling).aspects for j in around) < sum(j.aspects for j in around)


def _if_it_grew(j: Judged, scaling: Scaling) -> Judged:
    """The same use with its one finite size as a width; an init by fan_in falls with it."""
    use, init = j.use, scaling.inits.get(j.use.drawn)
    summed = float(use.role == "input" or (use.role == "scalar" and use.value.kind == "contract"))
    made = float(use.role != "input")
    if init is not None and init.exponent not in (None, ZERO):
        init = replace(init, exponent=float(init.exponent or 0.0) - summed / 2, raw=init.raw - summed / 2)
    grown = replace(
        use, e_in=use.e_in + summed, e_out=use.e_out + made, role="hidden" if summed or use.e_in else "bias"
    )
    return scaling.blame.at(grown, j.phi - summed, init)


def _reaches_the_ends(j: Judged) -> bool:
    """Whether what grows is the width that input weights produce: other directions of growth are meant as they are."""
    use = j.use
    if use.role != "input" or use.kind != "tensor":
        return False
    return use.value.kind == "lookup" or any(a.kind == "data" for a in use.value.args)


def _inner_sizes(scaling: Scaling) -> dict[int, set[str]]:
    """Sizes that stay, between two weights: size → the parameters around it, and those that have no other."""
    tensors = [j.use for j in scaling.judged if j.use.kind == "tensor"]
    uses = [use for use in tensors if use.value.kind == "contract"]
    inner: dict[int, set[str]] = {}
    for use in uses:
        size = _finite_size(use, scaling)
        if use.role == "input" and size and any(not a.weight and a.kind != "data" for a in use.value.args):
            inner.setdefault(size, set()).add(use.tensor)
    read = _readouts(scaling)
    for use in uses:
        size = _finite_size(use, scaling)
        size = _product_of(size, inner)
        if use.role == "output" and size and use.value not in read:
            inner[size].add(use.tensor)
    for use in tensors:
        sizes = {_product_of(size, inner) for size, _ in _channels(use, scaling) if size > 1}
        if use.role == "scalar" and len(sizes) == 1 and use.value not in read:
            inner.get(sizes.pop(), set()).add(use.tensor)
    return inner


def _product_of(size: int, inner: Mapping[int, set[str]]) -> int:
    """The inner size that a size is, or that several products made at once are; 0 where there is none."""
    return next((size // parts for parts in _FUSED if size % parts == 0 and size // parts in inner), 0)


def _finite_size(use: Use, scaling: Scaling) -> int:
    """The size of the one dim of a matrix that stays; 0 where there is none."""
    channels = _channels(use, scaling)
    finite = [size for size, e in channels if e == 0 and size > 1]
    return finite[-1] if len(channels) > 1 and len(finite) in (1, 2) else 0


def _channels(use: Use, scaling: Scaling) -> list[tuple[int, float]]:
    """The sizes of a parameter with their exponents, but for the positions of a kernel."""
    op = scaling.aligned.by_node[scaling.aligned.narrow.params[use.tensor]]
    kernel = isinstance(ops.of(use.value.op.name), Convolves)
    return list(zip(op.shape, op.dims, strict=True))[: 2 if kernel else None]


def _readouts(scaling: Scaling) -> set[Value]:
    """The values that the model returns, and what they are scalings or views of."""
    found: set[Value] = set()
    stack = [scaling.program.value_of(node) for node in scaling.aligned.narrow.boundary]
    while stack:
        value = stack.pop()
        if value is None or value in found:
            continue
        found.add(value)
        if value.kind in (*MOVED, "softmax", "loss", "reduce"):
            stack.extend(value.args)
    return found
