"""Loading a checkpoint and what it became into the model, and comparing what the two compute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..targets.probe import Target
from ..targets.skeleton import Skeleton
from ..targets.usercode import guarded
from ..targets.whole import sizes_at
from ..trace.recorder import parts
from .dcp_folder import DcpFolder
from .moved import CheckpointTransfer
from .opening import read_checkpoint
from .renamed import loaded_from, renaming
from .stored_tensors import Checkpoint
from .torch_file import TorchFile

_ROUNDINGS, _OPERATIONS = 16, 256
"""How many roundings of the checkpoint's type, or of the arithmetic's, the outputs may be apart by."""


@dataclass(frozen=True)
class Verified:
    """How far the outputs are apart, relative to their norm, and how far they may be."""

    difference: float
    allowed: float


def verify(transfer: CheckpointTransfer, target: Target, written: Path, model: Skeleton) -> Verified:
    """Run the model with the old files and with those written, on the target's own input.

    A moved checkpoint must give the outputs it gave before; a fresh one those of the plan applied in memory.

    Raises:
        UserError: the outputs differ by more than rounding does.
    """
    request = transfer.request
    sizes = sizes_at(target, request.plan.width)
    inputs = target.inputs(sizes)
    new = read_checkpoint(written / (transfer.checkpoint.index or transfer.checkpoint.shards[0].path).name, model.knows)
    outputs = []
    for checkpoint, plan in ((transfer.checkpoint, request.old), (new, request.plan)):
        built = target.build(sizes, 0)
        _load(built, checkpoint, transfer.names)
        if plan is None:
            request.plan.apply_(built)
        else:
            plan.install_hooks(built)
        built.eval()
        with torch.no_grad():
            with guarded("--verify: running the model", "nothing was written; --input names another input"):
                every = _tensors(built(*inputs.args, **inputs.kwargs))
            outputs.append([tensor.double() for tensor in every if tensor.is_floating_point()])
    found = _apart(*outputs)
    verified = Verified(found, _allowed(transfer.checkpoint))
    if not found <= verified.allowed:
        raise UserError(
            f"--verify: the outputs differ by {found:.3g} relative, expected at most {verified.allowed:.3g}",
            "nothing was written; is the model's output random? Otherwise this is a bug in muaudit",
        )
    return verified


def _load(model: nn.Module, checkpoint: Checkpoint, names: Mapping[str, tuple[str, ...]]) -> None:
    on_disk = renaming(model)
    if any(name not in every and on_disk(name) in every for name, every in names.items()):
        model.load_state_dict(loaded_from(model, dict(_values(checkpoint))))
        return
    own = model.state_dict(keep_vars=True)
    with torch.no_grad():
        for name, tensor in _values(checkpoint):
            for known in names.get(name, (name,)):
                if known in own:
                    own[known].copy_(tensor)


def _values(checkpoint: Checkpoint) -> Iterator[tuple[str, torch.Tensor]]:
    from safetensors import safe_open

    for shard in checkpoint.shards:
        if isinstance(shard, TorchFile | DcpFolder):
            yield from shard.named()
        else:
            with safe_open(shard.path, framework="pt") as file:
                for tensor in shard.tensors:
                    yield tensor.name, file.get_tensor(tensor.name)


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    else:
        for value in parts(output):
            yield from _tensors(value)


def _apart(before: list[torch.Tensor], after: list[torch.Tensor]) -> float:
    pairs = list(zip(before, after, strict=True))
    if not pairs:
        raise UserError("--verify: the model's output holds no floating point tensor to compare")
    size = sum(float(b.square().sum()) for b, _ in pairs) ** 0.5
    gap = sum(float((a - b).square().sum()) for b, a in pairs) ** 0.5
    return float(gap / size if size else gap)


def _allowed(checkpoint: Checkpoint) -> float:
    types = [t.dtype for t in checkpoint.tensors.values() if t.dtype is not None and t.dtype.is_floating_point]
    stored = max((float(torch.finfo(each).eps) for each in types), default=0.0)
    return max(_ROUNDINGS * stored, _OPERATIONS * float(torch.finfo(torch.get_default_dtype()).eps))
