"""The shapes of a plan's tensors, every dim as a multiple of the width or as fixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..errors import UserError
from ..plan.scales import Entry
from ..targets.probe import Target
from ..targets.skeleton import skeleton

Shapes = Mapping[tuple[str, ...], tuple[int, ...]]


def dim(size: int, exponent: float, width: int) -> str:
    """`n`, `3n`, `~2.67n`, or `fixed`: a dim of this size at this width that grows like width**exponent."""
    if exponent != 1.0:
        return "fixed" if exponent == 0.0 else f"~n^{exponent:g}"
    if size == width:
        return "n"
    return f"{size // width}n" if size % width == 0 else f"~{size / width:.3g}n"


def own_shapes(target: Target) -> Shapes:
    """By all names of a parameter: its shape in the model itself, where a smaller one of its kind was audited."""
    width = target.axes[0].default
    if target.own is None or width is None:
        return {}
    try:
        return skeleton(replace(target, build=target.own.build), width).parameters
    except UserError:
        return {}


def as_own(entry: Entry, shapes: Shapes, target: Target) -> Entry:
    """The entry with the proportions of the model itself: the small one's may be others (heads × size of a head)."""
    known = {shape for names, shape in shapes.items() if any(entry.matches(name) for name in names)}
    width = target.axes[0].default
    if not known or width is None or any(len(shape) != len(entry.shape) for shape in known):
        return entry
    dims = zip(entry.shape, zip(*known, strict=True), strict=True)
    return replace(entry, shape=tuple(_dim(audited, set(sizes), width) for audited, sizes in dims))


def _dim(audited: str, sizes: set[int], width: int) -> str:
    """`n` where it is the width in both models, for that is what a plan checks."""
    if audited == "fixed" or audited.startswith("~n^"):
        return audited
    if len(sizes) > 1:
        return "~n"
    own = dim(sizes.pop(), 1.0, width)
    return own if own != "n" or audited == "n" else "~1n"
