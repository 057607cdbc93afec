"""A torch.distributed.checkpoint folder: `.metadata`, and files that are archives of torch.save one behind the other.

Files are written anew in the same order, through one small buffer: tensors keep their bytes' places within their
archives, and of those that are scaled the archive's checksums are set anew. What no tensor is may get another length.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .copying import ByteRun, copy_groups, reserve
from .dcp_metadata import DcpItem, DcpMetadata, read_metadata
from .stored_tensors import COPIED, MARK, Stored, TensorFactor, spoilt

_DESCRIBED = 0x8
"""The flag of a zip entry whose checksum stands behind its bytes."""


@dataclass(frozen=True)
class _Record:
    """The elements of a tensor within its item: where they lie in the file, and where their checksum stands."""

    start: int
    nbytes: int
    sums: tuple[int, ...]


@dataclass(frozen=True)
class DcpFolder:
    """The folder as one part of a checkpoint. optimizer: the way to the optimizer's state in it, if there is one."""

    metadata: DcpMetadata
    optimizer: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file that torch reads first."""
        return self.metadata.path

    @property
    def mark(self) -> Mapping[str, str] | None:
        """What was done to it before."""
        return self.metadata.mark

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the others."""
        return tuple(dict.fromkeys(item.file for item in self.metadata.items))

    @property
    def nbytes(self) -> int:
        """The bytes of all items."""
        return sum(item.length for item in self.metadata.items)

    def inside(self, name: str) -> bool:
        """Whether an entry belongs to the optimizer's state."""
        return any(name.startswith(f"{prefix}.") for prefix in self.optimizer)

    @property
    def tensors(self) -> tuple[Stored, ...]:
        """Those that are not the optimizer's; `offset` is of no use, a tensor may lie in several files."""
        return tuple(
            Stored(entry.name, entry.dtype, entry.shape, 0, math.prod(entry.shape) * entry.dtype.itemsize)
            for entry in self.metadata.entries.values()
            if entry.shape is not None and entry.dtype is not None and not self.inside(entry.name)
        )

    def named(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Those tensors by name, one at a time, put together from their chunks."""
        of: dict[str, list[DcpItem]] = {}
        for item in self.metadata.items:
            of.setdefault(item.name, []).append(item)
        for tensor in self.tensors:
            whole = torch.empty(tensor.shape, dtype=tensor.dtype)
            for item in of[tensor.name]:
                view = whole
                for dim, (start, size) in enumerate(zip(item.offset, item.shape or (), strict=True)):
                    view = view.narrow(dim, start, size)
                view.copy_(torch.load(io.BytesIO(self.read(item)), weights_only=True))
            yield tensor.name, whole

    def read(self, item: DcpItem) -> bytes:
        """The bytes of an item. Raises UserError where they cannot be read."""
        there = self.path.parent / item.file
        try:
            with there.open("rb") as file:
                file.seek(item.start)
                return file.read(item.length)
        except OSError as error:
            raise spoilt(there, error.strerror or str(error)) from error

    def write(
        self,
        path: Path,
        scalings: Mapping[str, TensorFactor],
        mark: Mapping[str, str],
        advance: Callable[[int], None],
        others: Mapping[str, bytes | None] | None = None,
    ) -> None:
        """As `Shard.write`: `path` is the new metadata, and the files come beside it.

        others: entries that are no tensors with their new bytes, None for those that go.
        """
        given = dict(others or {})
        kept = [item for item in self.metadata.items if given.get(item.name, b"") is not None]
        known = {item.name for item in kept}
        added = [(name, data) for name, data in given.items() if data is not None and name not in known]
        placed: list[tuple[Any, DcpItem]] = []
        for number, file in enumerate(self.files):
            own = [item for item in kept if item.file == file]
            placed += self._write_file(path.parent / file, own, scalings, given, added if not number else (), advance)
        path.write_bytes(self._described(placed, given, mark))

    def _write_file(
        self,
        target: Path,
        items: Sequence[DcpItem],
        scalings: Mapping[str, TensorFactor],
        given: Mapping[str, bytes | None],
        added: Sequence[tuple[str, bytes]],
        advance: Callable[[int], None],
    ) -> list[tuple[Any, DcpItem]]:
        source, place = self.path.parent / target.name, 0
        runs: list[ByteRun] = []
        sums: dict[int, tuple[int, ...]] = {}
        placed: list[tuple[Any, DcpItem]] = []
        texts: list[tuple[int, bytes]] = []
        for item in sorted(items, key=lambda each: each.start):
            data = given.get(item.name)
            length = item.length if data is None else len(data)
            placed.append((item.index, replace(item, start=place, length=length)))
            if data is not None:
                texts.append((place, data))
            else:
                shift, scaling = place - item.start, scalings.get(item.name, COPIED)
                if item.shape is None or scaling == COPIED:
                    runs.append(ByteRun(item.start, place, item.length))
                else:
                    record = self._record(item)
                    end = record.start + record.nbytes
                    runs.append(ByteRun(item.start, place, record.start - item.start))
                    if scaling.factor != 1.0:
                        sums[len(runs)] = tuple(at + shift for at in record.sums)
                    runs.append(ByteRun(record.start, record.start + shift, record.nbytes, self._stored(item), scaling))
                    runs.append(ByteRun(end, end + shift, item.start + item.length - end))
            place += length
        for name, data in added:
            placed.append((None, DcpItem(name, None, target.name, place, len(data))))
            texts.append((place, data))
            place += len(data)
        reserve(target, place)
        found = copy_groups(source, target, ([run] for run in runs), advance)
        with target.open("rb+") as file:
            for number, places in sums.items():
                for at in places:
                    file.seek(at)
                    file.write(found[number].to_bytes(4, "little"))
            for at, data in texts:
                file.seek(at)
                file.write(data)
        advance(sum(each.length for each in self.metadata.items if each.file == target.name and each.name in given))
        return placed

    def _stored(self, item: DcpItem) -> Stored:
        entry = self.metadata.entries[item.name]
        return Stored(item.name, entry.dtype, item.shape or (), 0, 0)

    def _record(self, item: DcpItem) -> _Record:
        """Where the elements of a tensor lie. Raises UserError where its archive is not as torch.save makes it."""
        there = self.path.parent / item.file
        dtype = self.metadata.entries[item.name].dtype
        nbytes = math.prod(item.shape or ()) * (dtype.itemsize if dtype is not None else 0)
        try:
            with _Window(there, item.start, item.length) as window, zipfile.ZipFile(window) as archive:
                inner = [each for each in archive.infolist() if each.filename.rpartition("/")[0].endswith("/data")]
                (found,) = inner
                if found.compress_type or found.file_size != nbytes:
                    raise spoilt(there, f"{item.name} has {found.file_size:,} bytes, expected {nbytes:,}")
                window.seek(found.header_offset)
                head = window.read(30)
                start = found.header_offset + 30 + int.from_bytes(head[26:28], "little")
                start += int.from_bytes(head[28:30], "little")
                sums = [self._central(window, archive.start_dir, found)]
                if found.flag_bits & _DESCRIBED:
                    window.seek(start + nbytes)
                    sums.append(start + nbytes + 4 * (window.read(4) == b"PK\x07\x08"))
                else:
                    sums.append(found.header_offset + 14)
        except (zipfile.BadZipFile, ValueError, OSError) as error:
            raise spoilt(there, f"{item.name} is not stored as torch.save does it: {error}") from error
        return _Record(item.start + start, nbytes, tuple(item.start + at for at in sums))

    @staticmethod
    def _central(window: _Window, start: int, found: zipfile.ZipInfo) -> int:
        """Where the archive's directory has the checksum of an entry."""
        window.seek(start)
        while (head := window.read(46))[:4] == b"PK\x01\x02":
            name, extra, comment = (int.from_bytes(head[at : at + 2], "little") for at in (28, 30, 32))
            if window.read(name).decode() == found.filename:
                return start + 16
            start += 46 + name + extra + comment
            window.seek(start)
        raise zipfile.BadZipFile("its directory lacks the tensor")

    def _described(
        self, placed: Sequence[tuple[Any, DcpItem]], given: Mapping[str, bytes | None], mark: Mapping[str, str]
    ) -> bytes:
        """The new metadata."""
        from torch.distributed.checkpoint.metadata import BytesStorageMetadata, Metadata, MetadataIndex

        old = self.metadata.content
        entries = {name: each for name, each in old.state_dict_metadata.items() if given.get(name, b"") is not None}
        ways = dict(self.metadata.ways)
        storage = {}
        for index, item in placed:
            info = replace(self._any_info(), relative_path=item.file, offset=item.start, length=item.length)
            storage[index or MetadataIndex(item.name)] = info
            entries.setdefault(item.name, BytesStorageMetadata())
            ways.setdefault(item.name, tuple(self._way(item.name)))
        content = Metadata(
            entries, {name: way for name, way in ways.items() if name in entries}, storage,
            *(getattr(old, field) for field in ("storage_meta", "version") if hasattr(old, field)),
        )  # fmt: skip
        vars(content)[MARK] = dict(mark)
        return pickle.dumps(content)

    def _any_info(self) -> Any:
        return next(iter(self.metadata.content.storage_data.values()))

    def _way(self, name: str) -> Iterator[Any]:
        """The keys of an entry that is new: those of the optimizer's groups, `optim.param_groups.3.lr`."""
        for part in name.split("."):
            yield int(part) if part.isdecimal() else part


class _Window(io.RawIOBase):
    """A part of a file as a file."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        self._file, self._start, self._length, self._at = path.open("rb"), start, length, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._length)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._length - self._at, 0)
        size = left if size is None or size < 0 else min(size, left)
        self._file.seek(self._start + self._at)
        data = self._file.read(size)
        self._at += len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


def read_dcp(path: Path) -> DcpFolder:
    """Open the checkpoint whose `.metadata` this is.

    Raises:
        UserError: as `read_metadata`.
    """
    return DcpFolder(metadata := read_metadata(path), _optimizers(metadata))


def _optimizers(metadata: DcpMetadata) -> tuple[str, ...]:
    """The prefixes of all optimizer states: entries with `param_groups` and `state` side by side."""
    found: dict[str, None] = {}
    for name in metadata.entries:
        head, sep, _ = f".{name}".partition(".param_groups.")
        if sep or f".{name}".endswith(".param_groups"):
            found.setdefault(head[1:] or "", None)
    return tuple(found)
