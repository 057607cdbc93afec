"""Changes of files, as functions of the folder that they are made in."""

from __future__ import annotations

import gzip
import importlib.util
import io
import marshal
import os
import pickle
import shutil
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ambient.case import Change


def write(name: str, content: str | bytes) -> Change:
    """Write a file, and the folders that it needs."""

    def change(root: Path) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def rewrite_alike(name: str, content: str) -> Change:
    """Write as many bytes as there were, and put the time of change back."""

    def change(root: Path) -> None:
        path = root / name
        before = path.stat()
        assert len(content.encode()) == before.st_size
        path.write_text(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change


def remove(name: str) -> Change:
    """Remove a file or a folder."""
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def replace_link(name: str, target: str) -> Change:
    """Let a symbolic link point elsewhere."""

    def change(root: Path) -> None:
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(target)

    return change


def touch(name: str) -> Change:
    """Another time of change."""
    return lambda root: os.utime(root / name, (1, 1))


def bytecode(source: str) -> bytes:
    """A module without its source, which goes by no time stamp."""
    header = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8)
    return header + marshal.dumps(compile(source, "helper.py", "exec"))


def native(name: str) -> Change:
    """An extension module, of the standard library's."""

    def change(root: Path) -> None:
        folder = Path(sysconfig.get_path("stdlib")) / "lib-dynload"
        shutil.copy(next(folder.glob("_csv.*.so")), root / name)

    return change


def in_turn(*changes: Change) -> Change:
    """One after the other."""

    def change(root: Path) -> None:
        for each in changes:
            each(root)

    return change


def zipped(name: str, content: str) -> bytes:
    """A zip archive with one file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def gzipped(content: str) -> bytes:
    """Compressed text."""
    return gzip.compress(content.encode(), mtime=0)


def pickled(value: Any) -> bytes:
    """A pickle."""
    return pickle.dumps(value)


def array(value: int) -> bytes:
    """A .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.array(value))
    return buffer.getvalue()


def weights(value: int) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save({"size": torch.tensor(value)}, buffer)
    return buffer.getvalue()


def raw(value: int) -> bytes:
    """One 64-bit integer."""
    return np.array([value], np.int64).tobytes()


def write_scripted(name: str, value: int) -> Change:
    """What torch.jit.save writes, of a module with one buffer."""

    class Scripted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("size", torch.tensor(value))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.size

    return lambda root: torch.jit.save(torch.jit.trace(Scripted(), torch.ones(1)), str(root / name))
