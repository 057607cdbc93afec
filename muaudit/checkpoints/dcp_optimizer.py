"""The optimizer's state in a torch.distributed.checkpoint folder, moved with its weights.

`get_optimizer_state_dict` makes two forms of it: `param_groups` as a list whose groups name their parameters, and, with
`flatten_optimizer_state_dict`, every setting once for each parameter (`param_groups.NAME.lr`), as torchtitan stores it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..plan.plan import Plan
from ..targets.skeleton import Skeleton
from .dcp_folder import DcpFolder
from .numbering import numbering
from .optimizer_state import Mover
from .stored_tensors import TensorFactor, spoilt


@dataclass(frozen=True)
class DcpOptimizer:
    """scalings: of the state's tensors. others: entries of the groups with their new bytes, None for those that go."""

    folder: DcpFolder
    keys: tuple[str, ...]
    scalings: Mapping[str, TensorFactor]
    others: Mapping[str, bytes | None]
    own_groups: bool = False

    @property
    def path(self) -> Path:
        """Where it is: in the checkpoint itself."""
        return self.folder.path

    def write(
        self, path: Path, weights: Mapping[str, TensorFactor], mark: Mapping[str, str], advance: Callable[[int], None]
    ) -> None:
        """Write the whole checkpoint, with the state moved."""
        self.folder.write(path, {**weights, **self.scalings}, mark, advance, self.others)


def read_dcp_optimizer(folder: DcpFolder, model: Skeleton, old: Plan, new: Plan) -> DcpOptimizer:
    """Read the groups of an optimizer over those of `old`, and move them and the state to those of `new`.

    Raises:
        UserError: there are several states, or they are of another model; an entry is of a kind whose scaling is not
            known.
    """
    if len(folder.optimizer) != 1:
        raise spoilt(folder.path, f"it holds {len(folder.optimizer)} optimizer states", "expected one")
    read = _Read(folder, folder.optimizer[0])
    state, places = read.state()
    flat = read.flat
    numbers = numbering(folder.path, model, old, state)
    moved, scaled = Mover(folder.path, model, old, new).moved(state, numbers)
    scalings = {places[id(tensor)]: factor for _, tensor, factor in scaled if id(tensor) in places}
    others = read.flattened(moved["param_groups"]) if flat else read.listed(moved["param_groups"])
    return DcpOptimizer(folder, (folder.optimizer[0],), scalings, others, numbers.own)


class _Read:
    """The entries of one state, by what stands before them."""

    def __init__(self, folder: DcpFolder, prefix: str) -> None:
        self.folder, self.metadata = folder, folder.metadata
        self.groups_at = f"{prefix}.param_groups." if prefix else "param_groups."
        self.state_at = f"{prefix}.state." if prefix else "state."
        self.settings = {name for name in self.metadata.entries if name.startswith(self.groups_at)}
        self.flat = not any(name.endswith(".params") and self._number(name) is not None for name in self.settings)

    def _number(self, name: str) -> int | None:
        first = name.removeprefix(self.groups_at).partition(".")[0]
        return int(first) if first.isdecimal() else None

    def state(self) -> tuple[dict[str, Any], dict[int, str]]:
        """As torch.save would have it, tensors without their values; and their entries, by identity."""
        state: dict[str, dict[str, Any]] = {}
        places: dict[int, str] = {}
        for name, entry in self.metadata.entries.items():
            if name.startswith(self.state_at) and entry.shape is not None:
                parameter, _, key = name.removeprefix(self.state_at).rpartition(".")
                tensor = torch.empty(entry.shape, dtype=entry.dtype, device="meta")
                state.setdefault(parameter, {})[key] = tensor
                places[id(tensor)] = name
            elif name.startswith(self.state_at):
                parameter, _, key = name.removeprefix(self.state_at).rpartition(".")
                state.setdefault(parameter, {})[key] = self._value(name)
        groups = self._by_parameter() if self.flat else self._by_number()
        return {"state": state, "param_groups": groups}, places

    def _by_number(self) -> list[dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        for name in self.settings:
            number = self._number(name)
            if number is None:
                raise spoilt(self.folder.path, f"{name} is no setting of a param group")
            key = name.removeprefix(f"{self.groups_at}{number}.")
            if key.startswith(("betas.", "params.", "param_names.")):  # a list that was flattened too
                raise spoilt(self.folder.path, f"{name} is not stored as torch does it")
            found.setdefault(number, {})[key] = self._value(name)
        return [found[number] for number in sorted(found)]

    def _by_parameter(self) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for name in self.metadata.entries:
            if name in self.settings:
                parameter, _, key = name.removeprefix(self.groups_at).rpartition(".")
                found.setdefault(parameter, {"params": [parameter]})[key] = self._value(name)
        return list(found.values())

    def _value(self, name: str) -> Any:
        """A setting. Raises UserError for a tensor."""
        if self.metadata.entries[name].shape is not None:
            raise UserError(
                f"{self.folder.path}: {name} is a tensor, expected a number",
                "learning rates that are tensors (capturable) are not moved; save them as numbers",
            )
        (item,) = (each for each in self.metadata.items if each.name == name)
        try:
            return torch.load(io.BytesIO(self.folder.read(item)), weights_only=True)
        except Exception as error:
            raise spoilt(self.folder.path, f"{name} cannot be read: {error}") from error

    def listed(self, groups: list[dict[str, Any]]) -> dict[str, bytes | None]:
        """All settings of the new groups; those of groups that are no more go."""
        new: dict[str, bytes | None] = dict.fromkeys(self.settings)
        for number, group in enumerate(groups):
            new |= {f"{self.groups_at}{number}.{key}": _saved(value) for key, value in group.items()}
        return new

    def flattened(self, groups: list[dict[str, Any]]) -> dict[str, bytes | None]:
        """The settings that are there, of each parameter."""
        return dict(self._flattened(groups))

    def _flattened(self, groups: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
        for group in groups:
            for parameter in group["params"]:
                for key, value in group.items():
                    if (name := f"{self.groups_at}{parameter}.{key}") in self.settings:
                        yield name, _saved(value)


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()
