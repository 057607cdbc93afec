"""Which node stands for a tensor: by the tensor itself while it lives, and by its entries in a storage after that.

A recording keeps no tensor alive, so that a forward takes the memory that it takes in training, and no more.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import fx
from torch.multiprocessing.reductions import StorageWeakRef


@dataclass(eq=False)
class Extent:
    """What a tensor shows of its storage, and the node that it is the value of.

    strided: it is a regular view of one piece of memory, with these strides from this offset on.
    """

    node: fx.Node
    shape: Sequence[int]
    dtype: torch.dtype
    strided: bool
    stride: Sequence[int] = ()
    offset: int = 0

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    def shown(self, other: torch.Tensor) -> torch.Tensor:
        """The entries of the storage that `other` is in, as the tensor of this extent shows them."""
        empty = torch.empty(0, dtype=self.dtype, device=other.device)
        return empty.set_(other.untyped_storage(), self.offset, tuple(self.shape), tuple(self.stride))


@dataclass
class Extents:
    """The extents of all tensors that were bound to a node.

    keeps: the tensors are kept alive, for whoever wants to see their values.
    """

    keeps: bool = False
    kept: list[torch.Tensor] = field(default_factory=list)
    _alive: dict[int, Extent] = field(default_factory=dict)  # by id: an entry goes when its tensor does
    _ends: dict[int, weakref.ref[torch.Tensor]] = field(default_factory=dict)
    _storages: dict[int, list[Extent]] = field(default_factory=dict)
    _addresses: list[StorageWeakRef] = field(default_factory=list)  # stay those of their storages while these live

    def bind(self, tensor: torch.Tensor, node: fx.Node) -> None:
        """From here on, `tensor` is the value of `node`."""
        key, strided = id(tensor), tensor.layout is torch.strided
        extent = self._alive.get(key)
        new = extent is None
        if extent is None:
            extent = self._alive[key] = Extent(node, tensor.shape, tensor.dtype, strided)
            if self.keeps:
                self.kept.append(tensor)
            else:
                self._ends[key] = weakref.ref(tensor, lambda _: self._forget(key))
        extent.node, extent.shape, extent.dtype, extent.strided = node, tensor.shape, tensor.dtype, strided
        if strided:
            extent.stride, extent.offset = tensor.stride(), int(tensor.storage_offset())
        if new and (storage := storage_of(tensor)):
            if storage not in self._storages:
                self._addresses.append(StorageWeakRef(tensor.untyped_storage()))  # type: ignore[no-untyped-call]
            self._storages.setdefault(storage, []).append(extent)

    def _forget(self, key: int) -> None:
        self._alive.pop(key, None)
        self._ends.pop(key, None)

    def of(self, tensor: torch.Tensor) -> Extent | None:
        """The extent of this very tensor."""
        return self._alive.get(id(tensor))

    def node(self, tensor: torch.Tensor) -> fx.Node | None:
        """The node of a tensor, or of one that shows the same entries; None where no operation made either."""
        if (extent := self.of(tensor)) is not None:
            return extent.node
        for other in self.sharing(tensor):  # `.data`, subclasses: made behind the dispatcher
            if other.shape == tensor.shape and other.offset == offset_of(tensor):
                self.bind(tensor, other.node)
                return other.node
        return None

    def sharing(self, tensor: torch.Tensor) -> list[Extent]:
        """All extents in the tensor's storage."""
        return list(self._storages.get(storage_of(tensor), ()))

    def values(self) -> Mapping[fx.Node, torch.Tensor]:
        """The kept tensors by their nodes; a value that was written over is there no more."""
        return {self._alive[id(tensor)].node: tensor for tensor in self.kept}


def storage_of(tensor: torch.Tensor) -> int:
    """A number that tensors of one storage share; 0 where a tensor has none."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError):
        return 0


def offset_of(tensor: torch.Tensor) -> int:
    """Where in its storage a tensor begins."""
    return int(tensor.storage_offset()) if tensor.layout is torch.strided else 0


def apart(a: Extent, b: Extent) -> bool:
    """Whether two extents in one storage are known to share no entry: chunks of a whole, for example."""
    if not (a.strided and b.strided and a.numel and b.numel):
        return False
    first, second = sorted((a, b), key=lambda extent: extent.offset)
    distance = second.offset - first.offset
    if distance > sum((n - 1) * s for n, s in zip(first.shape, first.stride, strict=True)):
        return True
    if a.shape != b.shape or a.stride != b.stride:
        return False
    return not _reaches(distance, sorted(zip(map(int, a.stride), a.shape, strict=True), reverse=True))


def _reaches(distance: int, steps: list[tuple[int, int]]) -> bool:
    """Whether a sum of fewer than n steps of length s in every dim, forwards or back, covers `distance`."""
    if not steps:
        return distance == 0
    (length, count), rest = steps[0], steps[1:]
    if length == 0:
        return _reaches(distance, rest)
    near = distance // length
    return any(d < count and _reaches(abs(distance - d * length), rest) for d in (near, near + 1))
