"""The numbers that a tensor holds, whatever its layout."""

from __future__ import annotations

from collections.abc import Iterator

import torch

_PIECE = 1 << 16
"""Entries that the cache of a processor holds as float64, beside what is computed of them."""


def entries(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself; of a sparse one its values, those of one place added up. Never with a gradient."""
    tensor = tensor.detach()
    if tensor.layout is torch.strided or tensor.is_nested:
        return tensor
    if tensor.layout is torch.sparse_coo:
        return tensor.coalesce().values()
    if tensor.layout in (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc):
        return tensor.values()
    return tensor.to_dense()


def pieces(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """What `entries` returned, as float64: a vector after the other, none of them long."""
    for piece in torch.split(tensor.reshape(-1), _PIECE):
        yield piece.double()
