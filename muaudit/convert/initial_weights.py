"""The weights to start from: a fresh initialization at the target width, scaled."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from ..checkpoints.folder import need_room
from ..checkpoints.marks import FRESH, mark_of
from ..checkpoints.stored_tensors import MARK
from ..errors import UserError
from ..plan.plan import Plan
from ..targets.probe import Target
from ..targets.whole import sizes_at


def write_fresh(target: Target, plan: Plan, path: Path, seed: int, folder: Path) -> None:
    """Build the model at the plan's width, scale it, and write its state dict in one step, on its way to `folder`.

    Raises:
        UserError: the model cannot be built at this width, the disk has no room, or the file cannot be written.
    """
    model = plan.apply_(target.build(sizes_at(target, plan.width), seed))
    need_room(folder, nbytes(model))
    mark = json.dumps({**mark_of(plan, FRESH), "seed": str(seed)})
    write_state_dict(model.state_dict(), path, {MARK: mark})


def nbytes(model: nn.Module) -> int:
    """The size of a model's state dict, tied tensors once; also of a model without values."""
    stored = {id(parameter): parameter.nbytes for parameter in model.parameters()}
    kept = {name for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    stored |= {id(buffer): buffer.nbytes for name, buffer in model.named_buffers() if name in kept}
    return sum(stored.values())


def write_state_dict(tensors: Mapping[str, torch.Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors in one step, tied ones once. Raises UserError where it cannot be written."""
    seen: set[tuple[int, int]] = set()
    kept: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        key = (tensor.data_ptr(), tensor.numel())
        if key in seen and tensor.numel():
            continue
        seen.add(key)
        kept[name] = tensor.detach().contiguous().clone()
    _replace(path, lambda temporary: save_file(kept, temporary, metadata={"format": "pt", **metadata}))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        temporary.chmod(0o666 & ~_umask())  # safetensors makes its files for their owner alone
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except Exception as error:
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(f"cannot write {path}: {reason}", "--out names another folder") from error
