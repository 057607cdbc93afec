"""One safetensors file: its header, checked, and a copy with tensors scaled and everything else as it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .copying import ByteRun, copy_runs, reserve
from .stored_tensors import COPIED, MARK, Stored, TensorFactor, spoilt

_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U64": "uint64",
    "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool", "C64": "complex64",
}  # fmt: skip


@dataclass(frozen=True)
class SafetensorsFile:
    """A file as its header describes it; `body` is where the header ends and the tensors begin."""

    path: Path
    tensors: tuple[Stored, ...]
    header: Mapping[str, Any]
    body: int
    size: int

    @property
    def mark(self) -> Mapping[str, str] | None:
        """What was done to it before."""
        text = self.header.get("__metadata__", {}).get(MARK)
        return _mark(text) if text is not None else None

    @property
    def nbytes(self) -> int:
        """The bytes of all tensors."""
        return self.size - self.body

    def write(
        self, path: Path, scalings: Mapping[str, TensorFactor], mark: Mapping[str, str], advance: Callable[[int], None]
    ) -> None:
        """As `Shard.write`: same order, types and metadata."""
        metadata = {"format": "pt", **self.header.get("__metadata__", {}), MARK: json.dumps(dict(mark))}
        text = json.dumps({**self.header, "__metadata__": metadata}, separators=(",", ":"), ensure_ascii=False)
        header = text.encode()
        header += b" " * (-len(header) % 8)
        reserve(path, 8 + len(header) + self.nbytes)
        with path.open("rb+") as file:
            file.write(len(header).to_bytes(8, "little") + header)
        shift = 8 + len(header) - self.body
        runs = (
            ByteRun(each.offset, each.offset + shift, each.nbytes, each, scalings.get(each.name, COPIED))
            for each in self.tensors
        )
        copy_runs(self.path, path, runs, advance)


def read_safetensors(path: Path) -> SafetensorsFile:
    """Read and check the header.

    Raises:
        UserError: the file cannot be read, is cut short, or is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            with safe_open(path, framework="pt"):  # the library's own checks: sizes, gaps, overlaps
                pass
            header = json.loads(file.read(length))
    except OSError as error:
        raise spoilt(path, error.strerror or str(error), "--state-dict names a file or a folder") from error
    except (SafetensorError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise spoilt(path, f"it is damaged, or no safetensors file: {error}") from error
    body = 8 + length
    tensors = [_stored(name, given, body) for name, given in header.items() if name != "__metadata__"]
    return SafetensorsFile(path, tuple(sorted(tensors, key=lambda each: each.offset)), header, body, size)


def _stored(name: str, given: Mapping[str, Any], body: int) -> Stored:
    start, end = given["data_offsets"]
    dtype = getattr(torch, _DTYPES.get(given["dtype"], ""), None)
    return Stored(name, dtype, tuple(given["shape"]), body + start, end - start)


def _mark(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
