"""Parameters that the forward itself writes into: whether they are what they were all the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import fx

from ..thresholds import AS_INITIALIZED, WRITTEN_AGAIN

_LONGEST = 30  # operations of a projection


def stays(before: torch.Tensor, now: torch.Tensor, node: fx.Node, parameters: Iterable[fx.Node]) -> bool:
    """Whether a parameter into which `node` has just written is what it was.

    It holds the same (clipped to where it was already), or `node` projects it (to rows of length 1, as EDM2 does,
    arXiv 2312.02696): writing it once more changes nothing, and its init was there as good as already. parameters: the
    nodes that stand for it.
    """
    if torch.equal(before, now):
        return True
    if torch.is_grad_enabled() or not before.is_floating_point():
        return False
    sizes = float(before.norm()), float(now.norm())
    near = sizes[0] / AS_INITIALIZED <= sizes[1] <= sizes[0] * AS_INITIALIZED
    return near and _projects(now, node, parameters)


def _projects(now: torch.Tensor, node: fx.Node, parameters: Iterable[fx.Node]) -> bool:
    """Whether what a node has made of a parameter is what it makes of that, too."""
    try:
        again = _evaluated(node, dict.fromkeys(parameters, now.detach()), [_LONGEST])
    except Exception:  # it depends on more than the parameter
        return False
    close = isinstance(again, torch.Tensor) and again.shape == now.shape
    return close and bool((again - now).norm() <= WRITTEN_AGAIN * now.norm())


def _evaluated(node: fx.Node, known: dict[fx.Node, Any], left: list[int]) -> Any:
    """The value of a node, from the known ones alone. Raises where these do not suffice, or `left` nodes do not."""
    if node not in known:
        left[0] -= 1
        if node.op != "call_function" or left[0] < 0:
            raise LookupError(node.name)
        given: Any = fx.node.map_arg((node.args, node.kwargs), lambda each: _evaluated(each, known, left))
        args, kwargs = given
        if getattr(getattr(node.target, "_schema", None), "is_mutable", False):
            args = (args[0].clone(), *args[1:])
        known[node] = node.target(*args, **kwargs)  # type: ignore[operator]
    return known[node]
