"""Copying a file's tensors to another file through one small buffer, scaled and checked on the way."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import UserError
from .layout import COPIED, Scaling, Stored, spoilt

CHUNK = 1 << 23
"""Bytes that are in memory at a time: a multiple of every element size."""

_BINARY = getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class Run:
    """Bytes to copy: from `source` to `target`, `nbytes` of them. tensor: what they are, where that matters."""

    source: int
    target: int
    nbytes: int
    tensor: Stored | None = None
    scaling: Scaling = COPIED


def copy_runs(source: Path, target: Path, runs: Iterable[Run], advance: Callable[[int], None]) -> None:
    """Copy runs from one file into another that is there already.

    Raises:
        UserError: the source ends too early, or a checked tensor is not finite before or after it is scaled.
        OSError: the target cannot be written.
    """
    with _Copier(source, target, advance) as copier:
        for run in runs:
            copier.copy(run)


def copy_groups(
    source: Path, target: Path, groups: Iterable[Iterable[Run]], advance: Callable[[int], None]
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
    """The two files, open, and the buffer between them."""

    def __init__(self, source: Path, target: Path, advance: Callable[[int], None]) -> None:
        self.path, self.advance = source, advance
        self.buffer = memoryview(bytearray(CHUNK))
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

    def __exit__(self, *raised: object) -> None:
        os.close(self.reader)
        os.close(self.writer)

    def copy(self, run: Run, crc: int | None = None) -> int:
        """Copy one run; with a checksum to go on from, return how it goes on."""
        treat = _Treatment(self.path, run.tensor, run.scaling) if run.tensor is not None and _touched(run) else None
        done, total = 0, crc or 0
        while done < run.nbytes:
            chunk = self.buffer[: min(CHUNK, run.nbytes - done)]
            _read(self.path, self.reader, chunk, run.source + done)
            if treat is not None:
                treat(chunk)
            if crc is not None:
                total = zlib.crc32(chunk, total)
            _write(self.writer, chunk, run.target + done)
            done += len(chunk)
            self.advance(len(chunk))
        if treat is not None:
            treat.finish()
        return total


def _touched(run: Run) -> bool:
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


def _write(writer: int, chunk: memoryview, offset: int) -> None:
    os.lseek(writer, offset, os.SEEK_SET)
    done = 0
    while done < len(chunk):
        done += os.write(writer, chunk[done:])


class _Treatment:
    """Scales the chunks of one tensor in place, and refuses what is not finite or no longer there."""

    def __init__(self, path: Path, tensor: Stored, scaling: Scaling) -> None:
        self.path, self.tensor, self.scaling = path, tensor, scaling
        self.largest_before = self.largest_after = 0.0
        dtype = tensor.dtype
        if dtype is None or not dtype.is_floating_point:
            if scaling.factor != 1.0:
                raise spoilt(
                    path, f"{tensor.name} must be multiplied by {scaling.factor:.6g}, and its type is {_name(dtype)}",
                    "quantized weights cannot be scaled: start from floating point ones",
                )  # fmt: skip
            self.dtype = None
        else:
            self.dtype = dtype

    def __call__(self, chunk: memoryview) -> None:
        if self.dtype is None:
            return
        values = torch.frombuffer(chunk, dtype=self.dtype)
        wide = values.float() if values.element_size() == 1 else values
        self.largest_before = self._finite(wide, self.largest_before, "holds NaN or infinity")
        if self.scaling.factor != 1.0:
            wide.mul_(self.scaling.factor)
            if wide is not values:
                values.copy_(wide)
                wide = values.float()
            what = f"overflows {_name(self.dtype)} when it is multiplied by {self.scaling.factor:.6g}"
            self.largest_after = self._finite(wide, self.largest_after, what)

    def _finite(self, values: torch.Tensor, largest: float, otherwise: str) -> float:
        low, high = torch.aminmax(values)
        found = max(-float(low), float(high), key=lambda size: math.inf if math.isnan(size) else size)
        if not math.isfinite(found) and self.scaling.checked:
            raise spoilt(self.path, f"{self.tensor.name} {otherwise}", "nothing was written")
        return max(largest, abs(found))

    def finish(self) -> None:
        """Refuse a tensor that became too small for its type."""
        if self.dtype is None or self.scaling.factor == 1.0 or self.dtype.itemsize == 1:
            return
        if self.largest_before >= torch.finfo(self.dtype).tiny > self.largest_after:
            raise UserError(
                f"{self.tensor.name} underflows {_name(self.dtype)} when it is multiplied by {self.scaling.factor:.6g}",
                f"convert {self.path} to a wider type first; nothing was written",
            )


def _name(dtype: torch.dtype | None) -> str:
    return str(dtype).removeprefix("torch.") if dtype is not None else "unknown to torch"
