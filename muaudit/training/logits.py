"""The logits of an attention: what its softmax is called with, or q·k beside a fused one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

_TOGETHER = 2**19  # entries of queries up to which those of several layers are multiplied as one


class Logits(NamedTuple):
    """values: with zeros for hidden entries. shown: how many causality does not hide; hidden: which a mask hides."""

    values: torch.Tensor
    shown: int
    hidden: torch.Tensor | None = None


class Fused(NamedTuple):
    """What a fused attention was called with."""

    query: torch.Tensor
    key: torch.Tensor
    mask: torch.Tensor | None
    causal: bool
    scale: float
    grouped: bool


def of_softmax(*args: Any, **kwargs: Any) -> Logits | None:
    """What softmax is called with; a mask is part of it."""
    found = args[0] if args else kwargs.get("input")
    if not isinstance(found, torch.Tensor) or not found.is_floating_point() or found.dim() < 3:
        return None
    return _unmasked(found.detach())


def of_fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Fused | None:
    """What a fused attention takes the softmax of is found later."""
    if query.dim() < 3 and key.dim() < 3:
        return None
    return Fused(query, key, attn_mask, is_causal, query.size(-1) ** -0.5 if scale is None else scale, enable_gqa)


def scores(called: Sequence[Fused]) -> Iterator[Logits]:
    """What these take the softmax of; neighbours of small layers that are alike together, as one takes as long."""
    start = 0
    while start < len(called):
        first, stop = called[start], start + 1
        while stop < len(called) and _alike(first, called[stop]) and (stop - start) * first.query.numel() < _TOGETHER:
            stop += 1
        if stop == start + 1:
            yield _scores(first)
        else:
            queries = torch.stack([each.query for each in called[start:stop]])
            keys = torch.stack([each.key for each in called[start:stop]])
            found = _scores(first._replace(query=queries, key=keys))
            yield from (Logits(values, found.shown // (stop - start)) for values in found.values.unbind(0))
        start = stop


def _alike(one: Fused, other: Fused) -> bool:
    return (
        one.mask is None
        and one[2:] == other[2:]
        and one.query.shape == other.query.shape
        and one.key.shape == other.key.shape
        and one.query.dtype == other.query.dtype
    )


def _scores(called: Fused) -> Logits:
    query, key, mask, causal, scale, grouped = called
    if grouped and key.dim() > 2:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), dim=-3)
    found = _product(query, key, scale)
    if mask is None:
        if not causal:
            return Logits(found, found.numel())
        # many times faster than filling where a mask says so, in place, of which `vmap` knows nothing, more so still
        wrapped = torch._C._functorch.is_functorch_wrapped_tensor(found)
        return Logits(found.tril() if wrapped else found.tril_(), found.numel() - _later(found))
    hidden = torch.zeros((), dtype=torch.bool, device=found.device)
    if causal:
        hidden = torch.ones(found.shape[-2:], dtype=torch.bool, device=found.device).triu(1)
    if mask.dtype != torch.bool:
        return _unmasked((found + mask).masked_fill(hidden, float("-inf")))
    hidden = hidden | ~mask
    return Logits(found.masked_fill(hidden, 0.0), found.numel(), hidden)


def _product(query: torch.Tensor, key: torch.Tensor, scale: float) -> torch.Tensor:
    """Of queries and keys, times the scale."""
    if query.shape[:-2] != key.shape[:-2]:
        return (query * scale) @ key.transpose(-2, -1)
    nothing, flat = query.new_zeros(()), key.flatten(0, -3).transpose(1, 2)
    found = torch.baddbmm(nothing, query.flatten(0, -3), flat, beta=0, alpha=scale)
    return found.view(*query.shape[:-1], key.shape[-2])


def _unmasked(found: torch.Tensor) -> Logits:
    """A mask is a huge negative number, or −∞; a value that is not a number is not hidden."""
    hidden = found <= -1e4 * max(1.0, math.sqrt(found.shape[-1]))
    return Logits(found.masked_fill(hidden, 0.0), found.numel(), hidden)


def _later(found: torch.Tensor) -> int:
    """How many of all scores (..., queries, keys) are of keys after their query."""
    queries, keys = found.shape[-2:]
    some = max(0, min(queries, keys - 1))  # queries that have later ones: keys - 1, keys - 2, ...
    hidden = some * (keys - 1) - some * (some - 1) // 2
    return hidden * (found.numel() // max(1, queries * keys))
