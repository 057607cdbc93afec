"""Checkpoints through a plan: every file read in place, scaled as it streams by, written beside the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..plan.move import move_of
from ..plan.plan import Plan
from ..plan.scales import missing
from ..targets.skeleton import Skeleton
from .dcp_folder import DcpFolder
from .dcp_metadata import METADATA
from .dcp_optimizer import DcpOptimizer, read_dcp_optimizer
from .folder import need_room
from .marks import FRESH, MOVED, check_fresh, check_moved, mark_of
from .naming import match_names
from .opening import read_checkpoint
from .optimizer_state import OptimizerFile, read_optimizer_file
from .stored_tensors import Checkpoint, Shard, TensorFactor
from .torch_file import TorchFile, optimizer_keys


@dataclass(frozen=True)
class TransferRequest:
    """What is to be converted, and in which meaning.

    old: the plan that a trained checkpoint comes from; None for `--fresh`, which scales an initialization.
    keep: patterns of tensors that the model does not have, copied as they are.
    """

    state_dict: Path
    plan: Plan
    old: Plan | None = None
    optimizer_state: Path | None = None
    keep: tuple[str, ...] = ()

    @property
    def meaning(self) -> str:
        """The word for it."""
        return FRESH if self.old is None else MOVED


@dataclass(frozen=True)
class CheckpointTransfer:
    """A request whose files were read and found to fit the model; nothing is written yet."""

    request: TransferRequest
    checkpoint: Checkpoint
    names: dict[str, tuple[str, ...]]
    scalings: dict[str, TensorFactor]
    optimizer: OptimizerFile | DcpOptimizer | None
    note: str

    @property
    def nbytes(self) -> int:
        """How much `write` streams."""
        own = self.checkpoint.nbytes
        if isinstance(self.optimizer, OptimizerFile) and self.optimizer.path not in self.checkpoint.files:
            return own + self.optimizer.archive.nbytes
        return own

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that are read; the new ones get their names."""
        own = self.checkpoint.files
        apart = [self.optimizer.path] if self.optimizer and self.optimizer.path not in own else []
        return (*own, *apart)

    def write(self, folder: Path, advance: Callable[[int], None]) -> None:
        """Write all files into a folder, by the names they have.

        Raises:
            UserError: a tensor is not finite before or after, or a file is cut short.
            OSError: a file cannot be written.
        """
        mark = mark_of(self.request.plan, self.request.meaning)
        for shard in self.checkpoint.shards:
            target = folder / shard.path.name
            if isinstance(self.optimizer, DcpOptimizer):
                self.optimizer.write(target, self.scalings, mark, advance)
            elif self.optimizer is not None and self.optimizer.path == shard.path and isinstance(shard, TorchFile):
                self.optimizer.write(target, mark, advance, shard.scaled(self.scalings))
            else:
                shard.write(target, self.scalings, mark, advance)
        if self.checkpoint.index is not None:
            (folder / self.checkpoint.index.name).write_bytes(self.checkpoint.index.read_bytes())
        if isinstance(self.optimizer, OptimizerFile) and self.optimizer.path not in self.checkpoint.files:
            self.optimizer.write(folder / self.optimizer.path.name, mark, advance)


def prepare(request: TransferRequest, model: Skeleton, out: Path) -> CheckpointTransfer:
    """Read the files and compare them with the model.

    Raises:
        UserError: a file is damaged; it is not this model's; it has been converted before; the disk has no room.
    """
    checkpoint = read_checkpoint(request.state_dict, model.knows)
    _apart(checkpoint, out)
    names, note = match_names(checkpoint.tensors, model, request.keep)
    if request.old is None:
        check_fresh(checkpoint)
    else:
        check_moved(checkpoint, request.old, request.plan)
    scalings = {name: TensorFactor(_factor(request, of)) for name, of in names.items()}
    optimizer = _optimizer(request, checkpoint, model)
    transfer = CheckpointTransfer(request, checkpoint, names, scalings, optimizer, note)
    need_room(out, transfer.nbytes)
    return transfer


def _factor(request: TransferRequest, names: tuple[str, ...]) -> float:
    if request.old is not None:
        return move_of(request.old, request.plan, names).weight
    entry = request.plan.entry(names)
    if entry is None:
        raise missing("it has no entry for these parameters", [names[0]])
    return request.plan.scales_of(entry)[0]


def _optimizer(
    request: TransferRequest, checkpoint: Checkpoint, model: Skeleton
) -> OptimizerFile | DcpOptimizer | None:
    inside: list[Shard] = [
        shard
        for shard in checkpoint.shards
        if (isinstance(shard, TorchFile) and optimizer_keys(shard.archive.content))
        or (isinstance(shard, DcpFolder) and shard.optimizer)
    ]
    given = request.optimizer_state
    if given is None and inside:
        raise UserError(
            f"{inside[0].path} holds an optimizer state as well as weights",
            "--optimizer-state with the same file moves it along; --fresh is for initializations, which have none",
        )
    if given is None:
        return None
    if request.old is None:
        raise UserError(
            "--optimizer-state belongs to a trained checkpoint, and --fresh scales an initialization",
            "use --function-preserving to move a trained checkpoint",
        )
    there = given / METADATA if (given / METADATA).is_file() else given
    same = next((s for s in inside if s.path.resolve() == there.resolve()), None)
    if isinstance(same, DcpFolder):
        return read_dcp_optimizer(same, model, request.old, request.plan)
    if there.name == METADATA:
        raise UserError(
            f"{given} holds {'no optimizer state' if not inside else 'another checkpoint than --state-dict'}",
            "a checkpoint folder of torch.distributed is moved as a whole: give both options the same folder",
        )
    return read_optimizer_file(given, same if isinstance(same, TorchFile) else None, model, request.old, request.plan)


def _apart(checkpoint: Checkpoint, out: Path) -> None:
    for path in checkpoint.files:
        if path.resolve().parent == out.resolve():
            raise UserError(
                f"{path} is in the output folder, which is replaced as a whole",
                "--out names another folder; the checkpoint itself is never changed",
            )
