"""One torch checkpoint: a state dict, alone or inside of a training script's own dict, with its optimizer's state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .stored_tensors import Stored, TensorFactor, spoilt
from .torch_archive import Archive, read_archive, tensors_in, write_archive

_MOST_DICTS = 100_000
Keys = tuple[str, ...]
"""The way to a part of nested dicts."""


@dataclass(frozen=True)
class TorchFile:
    """An archive and the way to the state dict in it."""

    archive: Archive
    keys: Keys

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.archive.path

    @property
    def mark(self) -> Mapping[str, str] | None:
        """What was done to it before."""
        return self.archive.mark

    @property
    def nbytes(self) -> int:
        """The bytes of all tensors."""
        return self.archive.nbytes

    @property
    def tensors(self) -> tuple[Stored, ...]:
        """The tensors of the state dict."""
        return tuple(self.archive.stored(name, tensor) for name, tensor in self.named())

    def named(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The tensors of the state dict by name."""
        for name, value in at(self.archive.content, self.keys).items():
            if isinstance(value, torch.Tensor):
                yield name, value

    def scaled(self, scalings: Mapping[str, TensorFactor]) -> list[tuple[str, torch.Tensor, TensorFactor]]:
        """What `write_archive` is to scale."""
        return [(name, tensor, scalings[name]) for name, tensor in self.named() if name in scalings]

    def write(
        self, path: Path, scalings: Mapping[str, TensorFactor], mark: Mapping[str, str], advance: Callable[[int], None]
    ) -> None:
        """As `Shard.write`: the same structure."""
        write_archive(self.archive, path, self.archive.content, self.scaled(scalings), mark, advance)


def read_torch_file(path: Path, known: Callable[[str], bool]) -> TorchFile:
    """Open a torch checkpoint and find the state dict in it: the dict whose names are `known`.

    Raises:
        UserError: as `read_archive`; or it holds no such dict, or more than one.
    """
    archive = read_archive(path)
    try:
        counts = {keys: sum(known(str(name)) for name in part) for keys, part in _dicts(archive.content)}
    except ValueError as error:
        raise spoilt(path, str(error), "save model.state_dict()") from None
    found = [keys for keys, count in counts.items() if count]
    if len(found) > 1:
        names = ", ".join(".".join(map(str, keys)) or "the whole file" for keys in found)
        raise spoilt(
            path, f"several dicts in it have tensors by the model's names: {names}",
            "save the state dict alone: torch.save(model.state_dict(), FILE)",
        )  # fmt: skip
    keys = found[0] if found else max(counts, key=lambda each: _size(archive.content, each), default=())
    if not counts:
        raise spoilt(path, "it holds no state dict", "save model.state_dict()")
    odd = [name for name in at(archive.content, keys) if not isinstance(name, str)]
    if odd:
        raise spoilt(path, f"a name in its state dict is {odd[0]!r}, expected text", "save model.state_dict()")
    return TorchFile(archive, keys)


def optimizer_keys(content: Any) -> list[Keys]:
    """The ways to all optimizer state dicts: dicts with `state` and `param_groups`."""
    return [keys for keys, part in _walk(content) if set(part) >= {"state", "param_groups"}]


def at(content: Any, keys: Keys) -> Any:
    """The part that the keys lead to."""
    for key in keys:
        content = content[key]
    return content


def replaced_at(content: Any, keys: Keys, part: Any) -> Any:
    """The content with another part there; dicts on the way are copied."""
    if not keys:
        return part
    copied = content.copy()
    copied[keys[0]] = replaced_at(content[keys[0]], keys[1:], part)
    return copied


def _dicts(content: Any) -> Iterator[tuple[Keys, Mapping[Any, Any]]]:
    """Dicts that hold tensors themselves, optimizer states left out."""
    optimizers = optimizer_keys(content)
    for keys, part in _walk(content):
        inside = any(keys[: len(other)] == other for other in optimizers)
        if not inside and any(isinstance(value, torch.Tensor) for value in part.values()):
            yield keys, part


def _walk(content: Any) -> Iterator[tuple[Keys, Mapping[Any, Any]]]:
    """All dicts in dicts, each with every way to it, but none by way of itself.

    Raises:
        ValueError: there are more than a checkpoint could hold.
    """
    left: list[tuple[Keys, Any, frozenset[int]]] = [((), content, frozenset())]
    met = 0
    while left:
        keys, value, above = left.pop()
        if isinstance(value, Mapping) and id(value) not in above:
            met += 1
            if met > _MOST_DICTS:
                raise ValueError(f"it stands for more than {_MOST_DICTS:,} dicts")
            yield keys, value
            inside = above | {id(value)}
            left += reversed([((*keys, key), each, inside) for key, each in value.items()])


def _size(content: Any, keys: Keys) -> int:
    return sum(tensor.nbytes for tensor in tensors_in(at(content, keys)))
