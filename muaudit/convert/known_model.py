"""What a plan is to know of the model it is made for: heads, blocks and proportions, and the optimizer's settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn

from ..errors import UserError
from ..plan.made_for import MadeFor, block_counts, head_numbers, in_depth, own_settings
from ..plan.plan import Plan
from ..plan.scales import Entry, Start
from ..targets.at_depth import at_depths, depths_at
from ..targets.probe import Target
from ..targets.skeleton import skeleton
from ..targets.whole import sizes_at
from ..thresholds import AS_INITIALIZED
from .shapes import dim

MOST_PARAMETERS = 300_000_000
"""Of a model that was audited smaller than it is, above which no initialization of it is drawn, measured or written."""


def with_model(plan: Plan, target: Target, full: Target | None) -> Plan:
    """The plan with what is known of the whole model, which is built without values at both of its widths.

    target: as it was audited. full: at its own size, None where that cannot be built.
    """
    sizes = target.sizes(0)
    settings = own_settings(target.optimizer(target.build(sizes, 0), sizes), target.filled)
    models = _at_both_widths(plan, full) if full is not None else None
    deeper = plan.made_for.blocks if plan.made_for is not None else {}
    if models is None:
        return replace(plan, made_for=MadeFor({}, deeper, settings), entries=tuple(map(_roughly, plan.entries)))
    (narrow, width), (wide, wider) = models
    heads = _heads(head_numbers(narrow), head_numbers(wide), width, wider)
    folded = {prefix for entry in plan.entries for prefix in _lists(entry.pattern)}
    counts = block_counts(name for name, _ in wide.named_parameters())
    blocks: dict[str, int | str] = {name: count for name, count in counts.items() if name in folded}
    blocks |= {name: in_depth(counts[name], plan.depth) for name in deeper if name in counts}
    if all(entry.shape == () or set(entry.shape) == {"fixed"} for entry in plan.entries):
        return replace(plan, made_for=MadeFor({}, blocks, settings))  # of any width
    built = [(narrow, width), (wide, wider), *_narrower(full, width)]
    entries = tuple(_exact(entry, built) for entry in plan.entries)
    return replace(plan, made_for=MadeFor(heads, blocks, settings), entries=entries)


def with_starts(plan: Plan, full: Target | None, seed: int) -> Plan:
    """The plan with how large tensors start in the whole model, where a smaller one was audited, or what is drawn goes
    with the depth. Not in a model too large to be built for it."""
    if full is None or all(entry.start for entry in plan.entries):
        return plan
    other_depth = plan.base_depth if plan.base_depth != plan.depth else 2 * plan.depth
    for narrow, wide in ((plan.base_width, plan.width), (plan.width, 2 * plan.width)):
        if narrow != wide:
            try:
                subjects = [(full, narrow), (full, wide)]
                if plan.depth_name:
                    subjects.append((at_depths(full, depths_at(full, other_depth)), narrow))
                if any(_large(*subject) for subject in subjects):
                    continue
                small, large, *others = (
                    _sizes(plan, each.build(sizes_at(each, width), seed)) for each, width in subjects
                )
            except UserError:
                continue
            found = {}
            for key in small.keys() & large.keys():
                wider = _exponent(small[key], large[key], wide / narrow)
                deeper = [
                    _exponent(other[key], small[key], plan.depth / other_depth) for other in others if key in other
                ]
                if len(deeper) == len(others):
                    over_base = float((narrow / plan.base_width) ** wider * plan.m_depth ** sum(deeper))
                    found[key] = Start(small[key] / over_base, wider, depth=sum(deeper))
            entries = (replace(entry, start=entry.start or found.get(entry.pattern)) for entry in plan.entries)
            return replace(plan, entries=tuple(entries))
    return plan


def _large(target: Target, width: int) -> bool:
    return sum(map(math.prod, skeleton(target, width).parameters.values())) > MOST_PARAMETERS


def _sizes(plan: Plan, model: nn.Module) -> dict[str, float]:
    """The rms of the entries of tensors by pattern, where all that it covers are drawn alike."""
    found: dict[str, list[float]] = {}
    for name, parameter in model.named_parameters():
        entry, values = plan.entry([name]), parameter.detach()
        if entry is not None and entry.start is None and values.numel() and not values.is_complex():
            drawn = bool((values != values.flatten()[0]).any())
            found.setdefault(entry.pattern, []).append(float(values.double().square().mean().sqrt()) if drawn else 0.0)
    return {key: math.hypot(*each) / math.sqrt(len(each)) for key, each in found.items()
            if 0.0 < max(each) <= AS_INITIALIZED * min(each)}  # fmt: skip


def _exponent(small: float, large: float, times: float) -> float:
    """Of the rms at two sizes, one `times` the other."""
    return round(math.log(large / small) / math.log(times), 4)


def _at_both_widths(plan: Plan, full: Target) -> tuple[tuple[nn.Module, int], tuple[nn.Module, int]] | None:
    """The model at two widths at which it can be built: the plan's, else those of the audit."""
    probes = full.axes[0].probes
    for narrow, wide in ((plan.base_width, plan.width), (plan.width, 2 * plan.width), probes[:2]):
        if narrow != wide:
            try:
                return (skeleton(full, narrow).model, narrow), (skeleton(full, wide).model, wide)
            except UserError:
                continue
    return None


def _heads(narrow: Mapping[str, set[int]], wide: Mapping[str, set[int]], width: int, wider: int) -> dict[str, str]:
    """Numbers that are the same at both widths, and those that are a whole fraction of both."""
    found: dict[str, str] = {}
    for name in narrow.keys() & wide.keys():
        if len(narrow[name]) == len(wide[name]) == 1:
            first, second = (next(iter(each[name])) for each in (narrow, wide))
            if first == second:
                found[name] = str(first)
            elif first > 0 and width % first == 0 and width * second == wider * first:
                found[name] = f"n/{width // first}"
    return dict(sorted(found.items()))


def _lists(pattern: str) -> list[str]:
    """The lists of modules that a pattern goes through: `h` of `h.*.attn.weight`."""
    parts = pattern.split(".")
    return [".".join(parts[:place]) for place, part in enumerate(parts) if part == "*"]


def _narrower(full: Target | None, width: int) -> list[tuple[nn.Module, int]]:
    """The model at half a width, where that can be built: rounding to multiples of a size shows there first."""
    try:
        return [] if full is None else [(skeleton(full, width // 2).model, width // 2)]
    except UserError:
        return []


def _exact(entry: Entry, built: Sequence[tuple[nn.Module, int]]) -> Entry:
    """The entry with dims that are `4n` only where they are that in every model, of these widths."""
    shapes = [(_shapes(entry, model), width) for model, width in built]
    if any(len(found) != 1 or len(next(iter(found))) != len(entry.shape) for found, _ in shapes):
        return _roughly(entry)
    by_dim = zip(*([(size, width) for size in next(iter(found))] for found, width in shapes), strict=True)
    dims = zip(entry.shape, by_dim, strict=True)
    return replace(entry, shape=tuple(_dim(text, sizes) for text, sizes in dims))


def _shapes(entry: Entry, model: nn.Module) -> set[tuple[int, ...]]:
    return {tuple(p.shape) for name, p in model.named_parameters(remove_duplicate=False) if entry.matches(name)}


def _dim(text: str, sizes: Sequence[tuple[int, int]]) -> str:
    """sizes: of this dim, with the width, the plan's base width and width first."""
    if text in ("n", "fixed") or text.startswith("~n^"):
        return text
    size, width = sizes[1]
    exact = size % width == 0 and all(each * width == size * of for each, of in sizes)
    return dim(size, 1.0, width) if exact else f"~{size / width:.3g}n"


def _roughly(entry: Entry) -> Entry:
    """The entry with proportions that are those of a smaller model, and so are not checked."""
    return replace(entry, shape=tuple(f"~{text}" if text[:1].isdigit() else text for text in entry.shape))
