"""What a plan is to know of the model it is made for: heads, blocks and proportions, and the optimizer's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from ..errors import UserError
from ..plan.made_for import MadeFor, block_counts, head_numbers, in_depth, own_settings
from ..plan.plan import Plan
from ..plan.scales import Entry
from ..targets.probe import Target
from ..targets.skeleton import skeleton
from .shapes import dim


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
    entries = tuple(_exact(entry, narrow, wide, width, wider) for entry in plan.entries)
    return replace(plan, made_for=MadeFor(heads, blocks, settings), entries=entries)


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


def _exact(entry: Entry, narrow: nn.Module, wide: nn.Module, width: int, wider: int) -> Entry:
    """The entry with dims that are `4n` only where they are that at both widths."""
    at_both = [_shapes(entry, narrow), _shapes(entry, wide)]
    if any(len(shapes) != 1 or len(next(iter(shapes))) != len(entry.shape) for shapes in at_both):
        return _roughly(entry)
    first, second = (next(iter(shapes)) for shapes in at_both)
    dims = zip(entry.shape, first, second, strict=True)
    return replace(entry, shape=tuple(_dim(text, a, b, width, wider) for text, a, b in dims))


def _shapes(entry: Entry, model: nn.Module) -> set[tuple[int, ...]]:
    return {tuple(p.shape) for name, p in model.named_parameters(remove_duplicate=False) if entry.matches(name)}


def _dim(text: str, first: int, second: int, width: int, wider: int) -> str:
    if text in ("n", "fixed") or text.startswith("~n^"):
        return text
    exact = first % width == 0 and first * wider == second * width
    return dim(second, 1.0, wider) if exact else f"~{second / wider:.3g}n"


def _roughly(entry: Entry) -> Entry:
    """The entry with proportions that are those of a smaller model, and so are not checked."""
    return replace(entry, shape=tuple(f"~{text}" if text[:1].isdigit() else text for text in entry.shape))
