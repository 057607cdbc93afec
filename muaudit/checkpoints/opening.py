"""From what `--state-dict` names to a checkpoint: one file, the index of several, or a folder with either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import UserError
from ..reading import INDEX, Unreadable, parse_json, read_text
from .dcp_folder import read_dcp
from .dcp_metadata import METADATA
from .safetensors_file import read_safetensors
from .stored_tensors import Checkpoint, Shard, spoilt
from .torch_file import read_torch_file

_IN_FOLDERS = (
    METADATA,
    "model.safetensors.index.json", "model.safetensors", "state_dict.safetensors",
    "pytorch_model.bin.index.json", "pytorch_model.bin",
)  # fmt: skip


def read_checkpoint(path: Path, known: Callable[[str], bool]) -> Checkpoint:
    """Open a checkpoint and check its files. known: says of a name whether it can be one of the model's.

    Raises:
        UserError: a file cannot be read, is damaged or is missing; the index and the files do not agree.
    """
    path = _inside(path) if path.is_dir() else path
    if path.name == METADATA:
        return Checkpoint((read_dcp(path),))
    if path.suffix == ".json":
        return _sharded(path, known)
    return Checkpoint((_shard(path, known),))


def _inside(folder: Path) -> Path:
    """The checkpoint of a folder."""
    found = next((folder / name for name in _IN_FOLDERS if (folder / name).is_file()), None)
    if found is not None:
        return found
    others = [*folder.glob("*.index.json")] or [*folder.glob("*.safetensors")]
    if len(others) == 1:
        return others[0]
    seen = ", ".join(sorted(each.name for each in others)) or "none"
    raise UserError(f"{folder} holds no one checkpoint", f"expected {_IN_FOLDERS[1]} or the like, found {seen}")


def _shard(path: Path, known: Callable[[str], bool]) -> Shard:
    if path.exists() and not path.is_file():
        raise spoilt(path, "it is no regular file", "--state-dict names a file or a folder")
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise spoilt(path, error.strerror or str(error), "--state-dict names a file or a folder") from error
    if start[8:9] == b"{" and not start.startswith(b"PK"):
        return read_safetensors(path)
    return read_torch_file(path, known)


def _sharded(index: Path, known: Callable[[str], bool]) -> Checkpoint:
    try:
        places = parse_json(read_text(index, most=INDEX))["weight_map"]
        files = sorted(set(places.values()))
    except Unreadable as error:
        raise spoilt(index, error.why, "--state-dict names a file or a folder") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise spoilt(index, "it is no index of a sharded checkpoint: expected JSON with a weight_map") from error
    for name in files:
        if not isinstance(name, str) or Path(name).name != name:
            raise spoilt(index, f"it names the file {name!r}, expected a file beside it")
    absent = [name for name in files if not (index.parent / name).is_file()]
    if absent:
        raise spoilt(
            index, f"its file {absent[0]} is missing" + (f", and {len(absent) - 1} more" if absent[1:] else "")
        )
    shards = tuple(_shard(index.parent / name, known) for name in files)
    _agree(index, {str(name): str(file) for name, file in places.items()}, shards)
    return Checkpoint(shards, index)


def _agree(index: Path, places: dict[str, str], shards: tuple[Shard, ...]) -> None:
    """Every tensor is in the file that the index says, and in no other."""
    found: dict[str, str] = {}
    for shard in shards:
        for tensor in shard.tensors:
            if tensor.name in found:
                raise spoilt(index, f"{tensor.name} is in {found[tensor.name]} and in {shard.path.name}")
            found[tensor.name] = shard.path.name
    for name in sorted(places.keys() | found.keys()):
        if places.get(name) != found.get(name):
            said, there = places.get(name, "no file"), found.get(name, "no file")
            raise spoilt(index, f"{name} is in {said} by the index, in {there} by the files")
