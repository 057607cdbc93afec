"""What a checkpoint's files hold and where, without the values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import UserError

if TYPE_CHECKING:
    import torch

MARK = "muaudit"
"""Under this name a file says what was done to it: a safetensors metadata entry, or a record of a torch archive."""


@dataclass(frozen=True)
class Stored:
    """One tensor of a file: `shape` elements of `dtype`, in the bytes from `offset` to `offset + nbytes`.

    dtype is None for a type that torch has no name for. dense: these bytes hold its elements and nothing else.
    """

    name: str
    dtype: torch.dtype | None
    shape: tuple[int, ...]
    offset: int
    nbytes: int
    dense: bool = True


@dataclass(frozen=True)
class TensorFactor:
    """What happens to a tensor on its way: multiplied by `factor`; NaN and infinity are refused where `checked`."""

    factor: float = 1.0
    checked: bool = True


COPIED = TensorFactor(checked=False)
"""Nothing at all."""


class Shard(Protocol):
    """One file of a checkpoint."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def tensors(self) -> tuple[Stored, ...]:
        """All tensors of the state dict."""

    @property
    def mark(self) -> Mapping[str, str] | None:
        """What was done to it before, as `write` was given it."""

    @property
    def nbytes(self) -> int:
        """The size of all that `write` streams."""

    def write(
        self, path: Path, scalings: Mapping[str, TensorFactor], mark: Mapping[str, str], advance: Callable[[int], None]
    ) -> None:
        """Write the same file with tensors scaled, as they stream by; `advance` is told of bytes that are done.

        Raises:
            UserError: a checked tensor is not finite, before or after, or the file ends too early.
            OSError: the new file cannot be written.
        """


@dataclass(frozen=True)
class Checkpoint:
    """A state dict in one file or several; `index` is the JSON file that says which tensor is where."""

    shards: tuple[Shard, ...]
    index: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All its files."""
        return tuple(shard.path for shard in self.shards) + ((self.index,) if self.index else ())

    @property
    def tensors(self) -> dict[str, Stored]:
        """All its tensors by name."""
        return {tensor.name: tensor for shard in self.shards for tensor in shard.tensors}

    @property
    def nbytes(self) -> int:
        """The size of all its tensors."""
        return sum(shard.nbytes for shard in self.shards)


def spoilt(path: Path, what: str, hint: str = "") -> UserError:
    """The error for a file that is not what it should be."""
    return UserError(f"cannot read {path}: {what}", hint or "nothing was written; save or download the file again")
