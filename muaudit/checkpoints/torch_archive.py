"""torch.save's zip archives: the structure loaded with `weights_only=True`, the tensors left on the disk.

The structure may be changed before it is written again. torch writes the new archive without the tensors' bytes
(`torch.serialization.skip_data`), and these are then streamed from the old archive to their places in the new one.
"""

from __future__ import annotations

import json
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from .copying import ByteRun, copy_groups
from .stored_tensors import MARK, Stored, TensorFactor, spoilt

_REFUSED = re.compile(r"GLOBAL ([\w.]+)")
_LARGEST_MARK = 1 << 20
_STYLED = re.compile(r"\x1b\[\d+m")


@dataclass(frozen=True)
class Record:
    """One storage of an archive: its record's name, and its bytes in the file."""

    name: str
    offset: int
    nbytes: int


@dataclass(frozen=True)
class Archive:
    """A loaded archive: `content` is what was saved, with tensors that map the file; records by storage address."""

    path: Path
    content: Any
    records: Mapping[int, Record]
    mark: Mapping[str, str] | None

    @property
    def nbytes(self) -> int:
        """The bytes of all tensors."""
        return sum(record.nbytes for record in self.records.values())

    def stored(self, name: str, tensor: torch.Tensor) -> Stored:
        """Where a tensor of the content lies."""
        first = int(tensor.storage_offset())
        last = first
        if tensor.numel():
            last += 1 + sum((int(n) - 1) * int(step) for n, step in zip(tensor.shape, tensor.stride(), strict=True))
        size = tensor.element_size()
        start = self.records[tensor.untyped_storage().data_ptr()].offset if tensor.numel() else 0
        return Stored(
            name, tensor.dtype, tuple(tensor.shape), start + first * size, (last - first) * size,
            dense=last - first == tensor.numel(),
        )  # fmt: skip


def read_archive(path: Path) -> Archive:
    """Load the structure of a torch checkpoint.

    Raises:
        UserError: it cannot be read, is damaged, has torch's old format, or holds what `weights_only` refuses.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _check_records(infos)
            mark = next((archive.read(info) for info in infos if info.filename.endswith(f"/{MARK}.json")), None)
        records = _records(path, infos)
    except OSError as error:
        raise spoilt(path, error.strerror or str(error), "--state-dict names a file or a folder") from error
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, OverflowError, EOFError) as error:
        hint = (
            "nothing was written; save or download the file again, and what torch before 1.6 wrote with a newer torch"
        )
        raise spoilt(path, f"it is damaged, or no torch checkpoint: {error}", hint) from error
    content = _load(path)
    return Archive(path, content, _by_address(path, content, records), None if mark is None else _mark(mark))


def write_archive(
    archive: Archive,
    path: Path,
    content: Any,
    scaled: Iterable[tuple[str, torch.Tensor, TensorFactor]],
    mark: Mapping[str, str],
    advance: Callable[[int], None],
) -> None:
    """Write `content`, which is made of the archive's tensors and small ones in memory, streaming the former's bytes.

    scaled: tensors of the content with their names and what happens to them; all others are copied.

    Raises:
        UserError: a checked tensor is not finite; tensors that share memory would be scaled differently.
        OSError: the new file cannot be written.
    """
    try:
        with torch.serialization.skip_data():
            torch.save(content, path)
    except RuntimeError as error:  # how torch's writer says that the disk is full
        raise OSError(None, str(error).splitlines()[0]) from error
    new = read_archive(path)
    segments: dict[int, dict[Stored, TensorFactor]] = {}
    for name, tensor, scaling in scaled:
        if tensor.numel():
            owned = segments.setdefault(tensor.untyped_storage().data_ptr(), {})
            owned[archive.stored(name, tensor)] = scaling
    groups: dict[str, list[ByteRun]] = {}
    small: dict[str, int] = {}
    for old, made in zip(tensors_in(content), tensors_in(new.content), strict=True):
        address = old.untyped_storage().data_ptr()
        if address in archive.records:
            target = new.records[made.untyped_storage().data_ptr()]
            if target.name not in groups:
                source = archive.records[address]
                groups[target.name] = _runs(archive.path, source, target, segments.get(address, {}))
        elif old.numel():
            target = new.records[made.untyped_storage().data_ptr()]
            small[target.name] = _write_small(path, target, old)
    sums = copy_groups(archive.path, path, groups.values(), advance)
    _finish(path, dict(zip(groups, sums, strict=True)) | small, mark)


def _write_small(path: Path, target: Record, tensor: torch.Tensor) -> int:
    """Write a tensor that is in memory, such as a learning rate; its checksum."""
    data = tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    with path.open("rb+") as file:
        file.seek(target.offset)
        file.write(data)
    return zlib.crc32(data)


def tensors_in(content: Any) -> Iterator[torch.Tensor]:
    """All tensors of nested dicts, lists and tuples, in order; those of a container that is met again but once."""
    seen: set[int] = set()
    left = [content]
    while left:
        value = left.pop()
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (Mapping, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            left += reversed([*(value.values() if isinstance(value, Mapping) else value)])


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError as error:
        hint = "it is read with weights_only=True, so it may hold tensors, numbers and text only"
        raise spoilt(path, _refused(str(error)), f"{hint}: save model.state_dict()") from error
    except Exception as error:  # a damaged pickle may do anything that its operations can
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise spoilt(path, f"it is damaged, or no torch checkpoint: {said}") from error


def _refused(message: str) -> str:
    """What torch found in a file, out of its advice on how to load it all the same."""
    found = _REFUSED.search(message)
    return f"it holds a {found[1]}" if found else _STYLED.sub("", message).splitlines()[0][:200]


def _records(path: Path, infos: list[zipfile.ZipInfo]) -> list[Record]:
    """The records that hold storages, in the order of the file."""
    found = []
    with path.open("rb") as file:
        for info in infos:
            if info.filename.split("/")[-2:-1] == ["data"] and info.file_size:
                file.seek(info.header_offset)
                name_length, extra_length = struct.unpack_from("<HH", file.read(30), 26)
                offset = info.header_offset + 30 + name_length + extra_length
                found.append(Record(info.filename, offset, info.file_size))
    return sorted(found, key=lambda record: record.offset)


def _check_records(infos: Iterable[zipfile.ZipInfo]) -> None:
    """Raise BadZipFile for what could unpack to more than the file has bytes."""
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED:
            raise zipfile.BadZipFile(f"its record {info.filename} is compressed")
        if info.filename.endswith(".json") and info.file_size > _LARGEST_MARK:
            raise zipfile.BadZipFile(f"its record {info.filename} has {info.file_size:,} bytes")


def _by_address(path: Path, content: Any, records: list[Record]) -> dict[int, Record]:
    """Which storage is which record: the file is mapped as it is, so both are in the same order."""
    for tensor in tensors_in(content):
        if tensor.layout != torch.strided:
            raise spoilt(path, f"it holds a tensor of layout {tensor.layout}", "expected dense tensors only")
    storages = {s.data_ptr(): s.nbytes() for t in tensors_in(content) if (s := t.untyped_storage()).nbytes()}
    addresses = sorted(storages)
    apart = [(address - addresses[0], storages[address]) for address in addresses]
    if apart != [(record.offset - records[0].offset, record.nbytes) for record in records]:
        raise spoilt(path, "it holds tensors that are not in dicts or lists", "save model.state_dict()")
    return dict(zip(addresses, records, strict=True))


def _runs(path: Path, source: Record, target: Record, segments: Mapping[Stored, TensorFactor]) -> list[ByteRun]:
    """A storage in pieces: what belongs to scaled tensors, and what lies between them."""
    shift = target.offset - source.offset
    runs: list[ByteRun] = []
    position = source.offset
    last: tuple[Stored, TensorFactor] | None = None
    for stored, scaling in sorted(segments.items(), key=lambda item: (item[0].offset, item[0].nbytes)):
        if last and (stored.offset, stored.nbytes, scaling) == (last[0].offset, last[0].nbytes, last[1]):
            continue
        if stored.offset < position or not stored.dense:
            raise UserError(
                f"{path}: {stored.name} is a part of another tensor's memory", "save each tensor as .clone() of itself"
            )
        runs.append(ByteRun(position, position + shift, stored.offset - position))
        runs.append(ByteRun(stored.offset, stored.offset + shift, stored.nbytes, stored, scaling))
        position, last = stored.offset + stored.nbytes, (stored, scaling)
    return [*runs, ByteRun(position, position + shift, source.offset + source.nbytes - position)]


def _finish(path: Path, sums: Mapping[str, int], mark: Mapping[str, str]) -> None:
    """Enter the checksums of what was streamed, and the mark."""
    with zipfile.ZipFile(path, "a") as archive:
        for info in archive.infolist():
            info.CRC = sums.get(info.filename, info.CRC)
        folder = archive.namelist()[0].split("/")[0]
        archive.writestr(zipfile.ZipInfo(f"{folder}/{MARK}.json"), json.dumps(dict(mark)))  # dated as torch does: 1980


def _mark(text: bytes) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
