"""Copying a file's tensors to another file through one small buffer, scaled and checked on the way."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from .stored_tensors import COPIED, Stored, TensorFactor, spoilt
from .treatment import Treatment

CHUNK = 1 << 20
"""Bytes that are in memory at a time: a multiple of every element size, and little enough to stay in the cache."""

_WRITE = 1 << 17
"""Bytes of one write: file systems were seen to take ten times as long for larger ones."""

_WINDOW = 1 << 28
"""Bytes after which what was written goes to the disk, beside the writing, and leaves the system's cache. A checkpoint
streams through once: keeping it there would push out what others need, and new pages cost more time than used ones."""

_BINARY = getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class ByteRun:
    """Bytes to copy: from `source` to `target`, `nbytes` of them. tensor: what they are, where that matters."""

    source: int
    target: int
    nbytes: int
    tensor: Stored | None = None
    scaling: TensorFactor = COPIED


def copy_runs(source: Path, target: Path, runs: Iterable[ByteRun], advance: Callable[[int], None]) -> None:
    """Copy runs from one file into another that is there already.

    Raises:
        UserError: the source ends too early, or a checked tensor is not finite before or after it is scaled.
        OSError: the target cannot be written.
    """
    with _Copier(source, target, advance) as copier:
        for run in runs:
            copier.copy(run)


def copy_groups(
    source: Path, target: Path, groups: Iterable[Iterable[ByteRun]], advance: Callable[[int], None]
) -> list[int]:
    """As `copy_runs`, group by group. Returns the CRC-32 of what each group became, its runs joined in order.

    Raises:
        UserError: the source ends too early, or a checked tensor is not finite before or after it is scaled.
        OSError: the target cannot be written.
    """
    sums = []
    with _Copier(source, target, advance) as copier:
        for group in groups:
            crc = 0
            for run in group:
                crc = copier.copy(run, crc)
            sums.append(crc)
    return sums


class _Copier:
    """The two files, open, and two buffers between them: one is written while the other is filled."""

    def __init__(self, source: Path, target: Path, advance: Callable[[int], None]) -> None:
        self.path, self.advance = source, advance
        self.buffers = [memoryview(bytearray(CHUNK)) for _ in range(2)]
        self.pending: Future[int] | None = None
        self.flushed: Future[None] | None = None
        self.unflushed = 0
        self.thread, self.flusher = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        try:
            self.reader = os.open(source, os.O_RDONLY | _BINARY)
        except OSError as error:
            raise spoilt(source, error.strerror or str(error)) from error
        try:
            self.writer = os.open(target, os.O_WRONLY | _BINARY)
        except OSError:
            os.close(self.reader)
            raise

    def __enter__(self) -> _Copier:
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        try:
            if kind is None:
                self._wait()
                self._flush()
                self._flushed()
        finally:
            self.thread.shutdown()
            self.flusher.shutdown()
            os.close(self.reader)
            os.close(self.writer)

    def copy(self, run: ByteRun, crc: int | None = None) -> int:
        """Copy one run; with a checksum to go on from, return how it goes on."""
        treat = Treatment(self.path, run.tensor, run.scaling) if run.tensor is not None and _touched(run) else None
        total = crc or 0
        for start, chunk in self._chunks(run):
            if treat is not None:
                treat(chunk, partial(_read, self.path, self.reader, chunk, start))
            if crc is not None:
                total = zlib.crc32(chunk, total)
            self._wait()
            self.pending = self.thread.submit(_write, self.writer, chunk, start + run.target - run.source)
        if treat is not None:
            treat.finish(partial(self._largest, run))
        return total

    def _chunks(self, run: ByteRun) -> Iterator[tuple[int, memoryview]]:
        """The bytes of a run, each time in the buffer that is not being written, and where they come from."""
        for start in range(run.source, run.source + run.nbytes, CHUNK):
            self.buffers.reverse()
            chunk = self.buffers[0][: min(CHUNK, run.source + run.nbytes - start)]
            _read(self.path, self.reader, chunk, start)
            yield start, chunk

    def _wait(self) -> None:
        if self.pending is not None:
            done = self.pending.result()
            self.pending = None
            self.advance(done)
            self.unflushed += done
            if self.unflushed >= _WINDOW:
                self._flush()

    def _flush(self) -> None:
        """Send what was written to the disk, once what was sent before is there."""
        self._flushed()
        self.unflushed = 0
        self.flushed = self.flusher.submit(_settle, self.writer, self.reader)

    def _flushed(self) -> None:
        """An error of the disk is told once, to whoever asks first, so every answer is looked at."""
        if self.flushed is not None:
            self.flushed.result()

    def _largest(self, run: ByteRun) -> float:
        self._wait()
        dtype = run.tensor.dtype if run.tensor is not None else None
        chunks = (torch.frombuffer(chunk, dtype=dtype or torch.uint8) for _, chunk in self._chunks(run))
        return max(float(values.abs().max()) for values in chunks)


def reserve(path: Path, size: int) -> None:
    """Make an empty file with room for `size` bytes, where the file system can set some aside.

    Raises:
        OSError: the file cannot be written, or the disk is full.
    """
    with path.open("wb") as file:
        if not sys.platform.startswith("linux"):
            return
        library = ctypes.CDLL(None, use_errno=True)
        if library.fallocate(file.fileno(), 0, ctypes.c_long(0), ctypes.c_long(size)):
            code = ctypes.get_errno()
            if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise OSError(code, os.strerror(code), str(path))


def _touched(run: ByteRun) -> bool:
    return run.scaling.factor != 1.0 or run.scaling.checked


def _read(path: Path, reader: int, chunk: memoryview, offset: int) -> None:
    done = 0
    while done < len(chunk):
        try:
            os.lseek(reader, offset + done, os.SEEK_SET)
            got = os.readv(reader, [chunk[done:]]) if hasattr(os, "readv") else _read_into(reader, chunk[done:])
        except OSError as error:
            raise spoilt(path, error.strerror or str(error)) from error
        if not got:
            raise spoilt(path, f"it ends after {offset + done} bytes, while it was read")
        done += got


def _read_into(reader: int, chunk: memoryview) -> int:
    data = os.read(reader, len(chunk))
    chunk[: len(data)] = data
    return len(data)


def _settle(writer: int, reader: int) -> None:
    """Wait until the disk has it, and drop both files from the system's cache."""
    if hasattr(os, "posix_fadvise"):
        os.fdatasync(writer)
        for descriptor in (writer, reader):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _write(writer: int, chunk: memoryview, offset: int) -> int:
    os.lseek(writer, offset, os.SEEK_SET)
    done = 0
    while done < len(chunk):
        done += os.write(writer, chunk[done : done + _WRITE])
    return done
