"""The `.metadata` of a torch.distributed.checkpoint folder: which entries there are, and where their bytes lie.

It is a pickle of torch's own classes. It is read with these classes alone, so that a file from elsewhere runs nothing.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .stored_tensors import MARK, spoilt

METADATA = ".metadata"
_OF_TORCH = {
    "torch.distributed.checkpoint.metadata": {
        "Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata", "TensorProperties",
        "MetadataIndex", "StorageMeta", "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.serialization": {"_get_layout"},
    "torch": {"Size", *(name for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype))},
    "pathlib": {"PosixPath", "PurePosixPath", "Path", "WindowsPath", "PureWindowsPath"},
    "pathlib._local": {"PosixPath", "PurePosixPath", "Path"},
    "collections": {"OrderedDict"},
}  # fmt: skip
_MOST = 1 << 30
"""Bytes of a file of metadata that is still read."""


@dataclass(frozen=True)
class DcpItem:
    """The bytes of one entry, or of a chunk of one that is a tensor: an archive as torch.save makes it.

    shape: of the chunk; None where the entry is no tensor. offset: of the chunk in its tensor.
    """

    name: str
    index: Any
    file: str
    start: int
    length: int
    shape: tuple[int, ...] | None = None
    offset: tuple[int, ...] = ()


@dataclass(frozen=True)
class DcpEntry:
    """One entry: a tensor's type and whole shape, or None for both where it is anything else."""

    name: str
    dtype: torch.dtype | None
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class DcpMetadata:
    """entries and items in their order. ways: from an entry's name to its keys in the nested state dict."""

    path: Path
    content: Any
    entries: Mapping[str, DcpEntry]
    items: tuple[DcpItem, ...]
    ways: Mapping[str, tuple[Any, ...]]

    @property
    def mark(self) -> Mapping[str, str] | None:
        """What was done to it before."""
        said = vars(self.content).get(MARK)
        return None if said is None else {str(key): str(value) for key, value in dict(said).items()}


class _OfTorch(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in _OF_TORCH.get(module, ()):
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no metadata of torch has")
        if module.startswith("pathlib"):
            return _path
        return super().find_class(module, name)


def _path(*parts: str) -> str:
    """A path of any system, as text."""
    return "/".join(parts)


def read_metadata(path: Path) -> DcpMetadata:
    """Read and check the metadata of a folder.

    Raises:
        UserError: it is damaged or names what torch does not write there; files are missing or too short; entries are
            stored in a way that is not known.
    """
    try:
        if path.stat().st_size > _MOST:
            raise spoilt(path, "it is larger than any metadata")
        content = _OfTorch(io.BytesIO(path.read_bytes())).load()
        entries = dict(_entries(content.state_dict_metadata))
        items = tuple(_items(path, content, entries))
        ways = {name: tuple(way) for name, way in (content.planner_data or {}).items()}
    except OSError as error:
        raise spoilt(path, error.strerror or str(error), "--state-dict names a file or a folder") from error
    except (pickle.UnpicklingError, EOFError, AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise spoilt(path, f"it is damaged, or no metadata of torch.distributed.checkpoint: {error}") from error
    _covered(path, entries, items)
    return DcpMetadata(path, content, entries, items, ways)


def _entries(found: Mapping[str, Any]) -> Iterator[tuple[str, DcpEntry]]:
    for name, each in found.items():
        properties = getattr(each, "properties", None)
        if properties is None:
            yield str(name), DcpEntry(str(name), None, None)
        else:
            yield str(name), DcpEntry(str(name), properties.dtype, tuple(each.size))


def _items(path: Path, content: Any, entries: Mapping[str, DcpEntry]) -> Iterator[DcpItem]:
    sizes: dict[str, int] = {}
    for index, info in content.storage_data.items():
        file = str(info.relative_path)
        if Path(file).name != file:
            raise spoilt(path, f"it names the file {file!r}, expected one beside it")
        if getattr(info, "transform_descriptors", None):
            raise spoilt(path, f"{index.fqn} is compressed", "save without extensions; nothing was written")
        there = path.parent / file
        if file not in sizes:
            if not there.is_file():
                raise spoilt(path, f"its file {file} is missing")
            sizes[file] = there.stat().st_size
        if info.offset < 0 or info.length <= 0 or info.offset + info.length > sizes[file]:
            raise spoilt(there, f"it ends after {sizes[file]:,} bytes, and {index.fqn} lies behind")
        shape, offset = _chunk(content.state_dict_metadata[index.fqn], index)
        yield DcpItem(index.fqn, index, file, info.offset, info.length, shape, offset)


def _chunk(entry: Any, index: Any) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    if not hasattr(entry, "chunks"):
        return None, ()
    offset = tuple(index.offset) if index.offset is not None else (0,) * len(entry.size)
    return next(tuple(chunk.sizes) for chunk in entry.chunks if tuple(chunk.offsets) == offset), offset


def _covered(path: Path, entries: Mapping[str, DcpEntry], items: tuple[DcpItem, ...]) -> None:
    """Every entry has its bytes: as many elements as its shape has."""
    counts = dict.fromkeys(entries, 0)
    for item in items:
        size = 1
        for dim in item.shape or ():
            size *= dim
        counts[item.name] += size
    for name, entry in entries.items():
        whole = 1
        for dim in entry.shape or ():
            whole *= dim
        if counts[name] != whole:
            raise spoilt(path, f"{counts[name]:,} of {whole:,} elements of {name} are stored")
