"""How every value of a model answers an update of its parameters: two recordings, before and after, side by side.

A product `a @ b` changes by `Δa @ b + a @ Δb` and more. How large each part is beside its factors tells how well they
are aligned, which no rule can know: of independent terms a sum grows like the root of their number, of aligned ones
like the number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import torch
from torch import fx

from .overlap import factors_of, name_of
from .recorder import MASKED, Recording

VISIBLE = 1e-5  # of a value: a smaller change is the arithmetic's
Tensor = torch.Tensor
Pair = tuple[Tensor, Tensor]  # before, after
Twins = dict[fx.Node, fx.Node]


@dataclass(frozen=True)
class Product:
    """A product `a @ b`, without what is added to it.

    change: root mean square of its change.
    parts: how many times larger Δa @ b and a @ Δb are than the product of one entry of each; 0 for what is not there.
    """

    change: float
    parts: tuple[float, float]


@dataclass(frozen=True)
class Response:
    """Root mean squares of a value and of its change.

    product: of a matrix product or convolution, and of one to which something is added.
    inner: of fused attention, its logits, their softmax, and the values averaged by it.
    """

    size: float
    change: float
    product: Product | None = None
    inner: tuple[Response, Response, Response] | None = None


def responses(before: Recording, after: Recording) -> dict[fx.Node, Response]:
    """By node of the first recording; operations that have no counterpart of the same shape are left out.

    Both recordings hold their values (`record(..., values=True)`).
    """
    twins = counterparts(before, after)
    found = {}
    for node in twins:
        pair = _pair(node, twins)
        change = _change(_shown(*pair)) if pair is not None else None
        if change is not None:
            found[node] = _attention(node, twins, change) or Response(*change, _product(node, twins))
    return found


def counterparts(before: Recording, after: Recording) -> Twins:
    """The same operations in the same order; routing may have left some out, or given them other shapes."""
    first, second = list(before.graph.nodes), list(after.graph.nodes)
    blocks = SequenceMatcher(None, [*map(_key, first)], [*map(_key, second)], autojunk=False).get_matching_blocks()
    return {first[b.a + i]: second[b.b + i] for b in blocks for i in range(b.size)}


def _key(node: fx.Node) -> Hashable:
    return str(node.target), node.meta.get("module"), node.meta.get("call"), node.meta.get("shape")


def _pair(node: Any, twins: Twins) -> Pair | None:
    """A tensor of numbers before and after."""
    twin = twins.get(node) if isinstance(node, fx.Node) else None
    if twin is None or "value" not in node.meta or not node.meta["value"].is_floating_point():
        return None
    return node.meta["value"].double(), twin.meta["value"].double()


def _shown(before: Tensor, after: Tensor) -> Pair:
    """The entries that no mask hides."""
    shown = (before > MASKED) & (after > MASKED)
    return before[shown], after[shown]


def _change(pair: Pair) -> tuple[float, float] | None:
    """Sizes of a value and of its change. None where nothing can be told: no numbers, or no more than rounding."""
    before, after = pair
    if not before.numel():
        return None
    size, change = _size(before), _size(after - before)
    return (size, change) if math.isfinite(change) and change > VISIBLE * size else None


def _product(node: fx.Node, twins: Twins) -> Product | None:
    """The product in a node, without what is added to it."""
    args: Any = node.args
    factors = factors_of(node.target, args)
    a, b = (_pair(each, twins) for each in factors or (None, None))
    if a is None or b is None:
        return None
    if name_of(node.target) == "convolution":
        return _compared(lambda x, w: torch.ops.aten.convolution(x, w, None, *args[3:]), a, b)
    return _compared(torch.matmul, a, b)


def _compared(multiply: Callable[[Tensor, Tensor], Tensor], first: Pair, second: Pair) -> Product:
    a, b, da, db = first[0], second[0], _told(first), _told(second)

    def larger(x: Tensor, y: Tensor) -> float:
        one = _size(x) * _size(y)
        return _size(multiply(x, y)) / one if one else 0.0

    return Product(_size(multiply(da, b) + multiply(first[1], db)), (larger(da, b), larger(a, db)))


def _told(pair: Pair) -> Tensor:
    """The change; nothing where rounding could have made it."""
    change = pair[1] - pair[0]
    return change if _change(pair) is not None else torch.zeros_like(change)


def _size(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


# -- attention in one operation ------------------------------------------------------------------------------
def _attention(node: fx.Node, twins: Twins, change: tuple[float, float]) -> Response | None:
    """softmax(q·kᵀ·scale)·v, part by part."""
    if "scaled_dot_product" not in name_of(node.target):
        return None
    queries, keys, values = (_pair(each, twins) for each in node.args[:3])
    if queries is None or keys is None or values is None:
        return None
    (q, q_after), (k, k_after) = queries, keys
    weights = _weights(node, q, k), _weights(node, q_after, k_after)
    averaged = _averaged(weights[0], values[0])
    logits, products = _compared(_logits, queries, keys), _compared(_averaged, weights, values)
    inner = (
        Response(_size(_logits(q, k)), logits.change, logits),
        Response(_size(weights[0]), _size(weights[1] - weights[0])),
        Response(_size(averaged), products.change, products),
    )
    return Response(*change, inner=inner)


def _weights(node: fx.Node, q: Tensor, k: Tensor) -> Tensor:
    scale: Any = node.kwargs.get("scale")
    mask: Any = node.kwargs.get(
        "attn_mask", None if "for_cpu" in name_of(node.target) else node.args[3:4] and node.args[3]
    )
    logits = _logits(q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if isinstance(mask, fx.Node):
        allowed = mask.meta["value"]
        logits = logits.masked_fill(~allowed, -math.inf) if allowed.dtype is torch.bool else logits + allowed
    if any(each is True for each in node.args[3:]):  # is_causal
        logits = logits.masked_fill(torch.ones(logits.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
    weights: Tensor = logits.softmax(-1)
    return weights


def _logits(q: Tensor, k: Tensor) -> Tensor:
    """Heads of keys may be shared by several of queries."""
    return q @ k.repeat_interleave(q.shape[1] // k.shape[1], 1).transpose(-2, -1)


def _averaged(weights: Tensor, v: Tensor) -> Tensor:
    return weights @ v.repeat_interleave(weights.shape[1] // v.shape[1], 1)
