"""`muaudit.transfer`: hyperparameters tuned at one size, as every tensor needs them at another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from ..errors import UserError
from ..plan.file import load_plan
from ..plan.plan import Plan
from ..report.layout import Line
from ..targets import TargetOptions
from ..targets.eager import eagerly
from ..targets.usercode import answered
from ..transfer.carry import Transfer, as_data, carry
from ..transfer.followed import Followed, audit_pair, followed_data, followed_lines
from ..transfer.run_config import check_names
from ..transfer.run_size import RunSize, check_pair, of_numbers, parse_size
from ..transfer.transfer_lines import transfer_lines
from ..transfer.transfer_task import plan_for
from .given_targets import Given, Texts, options_of, target_of
from .shown import Shown


class Transferred(Shown):
    """Every hyperparameter at another size."""

    def __init__(self, transfer: Transfer) -> None:
        self.transfer = transfer

    def rows(self) -> list[dict[str, Any]]:
        """A row for every tensor pattern: its factors, and the values that were given carried over."""
        return [
            {"tensor": pattern, "roles": roles, "optimizer": group.optimizer,
             **{f"{name} ×": factor for name, (factor, *_) in group.scales.items()}, **group.values}
            for group in self.transfer.groups
            for pattern, roles in group.tensors.items()
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The document of `transfer --format json`."""
        return as_data(self.transfer)

    @property
    def headline(self) -> str:
        """One line that says how it went."""
        given = ", ".join(f"{name}={value:g}" for name, value in self.transfer.given.items())
        recipe = f", {self.transfer.horizon.recipe.name}" if self.transfer.horizon else ""
        plan = self.transfer.plan
        return f"{plan.width_name} {self.transfer.start} → {self.transfer.to}{recipe}: {given or 'factors'}"

    def _lines(self) -> Iterable[Line]:
        return transfer_lines(self.transfer)


class TransferAudit(Shown):
    """Two configurations of runs, held against a recipe. `ok`: whether every setting that both give follows it."""

    def __init__(self, followed: Followed) -> None:
        self.followed = followed

    @property
    def ok(self) -> bool:
        """Whether every setting that both give follows."""
        return self.followed.ok

    def rows(self) -> list[dict[str, Any]]:
        """A row for every setting: what both runs have, and what is expected of the large one."""
        rows: list[dict[str, Any]] = self.to_dict()["settings"]
        return rows

    def to_dict(self) -> dict[str, Any]:
        """The document of `transfer --audit --format json`."""
        document: dict[str, Any] = json.loads(followed_data(self.followed))
        return document

    @property
    def headline(self) -> str:
        """One line that says how it went."""
        wrong = [row.name for row in self.followed.rows if row.follows is False]
        said = f"does not follow: {', '.join(wrong)}" if wrong else "every setting that both give follows"
        return f"{self.followed.small.path} → {self.followed.large.path}: {said}"

    def _lines(self) -> Iterable[Line]:
        return followed_lines(self.followed)


Size = int | str | Mapping[str, float]


@overload
def transfer(*, audit: tuple[Path | str, Path | str], names: Mapping[str, str] | None = None, recipe: str | None = None,
             optimizer: str | None = None) -> TransferAudit: ...  # fmt: skip
@overload
def transfer(build: Given | Plan, *, start: Size, to: Size, given: Mapping[str, float] | None = None,
             recipe: str | None = None, batch: Callable[..., Any] | None = None, loss: Callable[..., Any] | None = None,
             optimizer: Callable[..., Any] | str | None = None,
             widths: Sequence[int] | Mapping[str, Sequence[int]] | None = None, set: Mapping[str, Any] | None = None,
             input: Texts = (), init: Callable[..., Any] | str | None = None, no_init: bool = False,
             ) -> Transferred: ...  # fmt: skip
def transfer(
    build: Given | Plan | None = None,
    *,
    start: Size | None = None,
    to: Size | None = None,
    given: Mapping[str, float] | None = None,
    recipe: str | None = None,
    batch: Callable[..., Any] | None = None,
    loss: Callable[..., Any] | None = None,
    optimizer: Callable[..., Any] | str | None = None,
    widths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    set: Mapping[str, Any] | None = None,
    input: Texts = (),
    init: Callable[..., Any] | str | None = None,
    no_init: bool = False,
    audit: tuple[Path | str, Path | str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Shown:
    """Hyperparameters at another size, tensor by tensor; as `muaudit transfer`.

    build: a plan, the path of a plan.yaml, or a target as for `check`. start: what `given` ({"lr": 3e-3}) holds at: a
    width, or sizes by their names ({"width": 256, "depth": 4, "batch": 5e5, "tokens": 2.5e9}), as the command line's
    text or as a mapping. to: what to carry it to. recipe: by name, where batch and duration change.

    audit: in place of all these, two configurations of runs, the small one first (YAML or JSON), which are held against
    the recipe; names: what they call a setting ({"lr": "optimizer.peak_lr"}).

    Raises:
        UserError: the target cannot be planned for, or a hyperparameter is not known.
    """
    if audit is not None:
        if any(each is not None for each in (build, start, to, given)):
            raise UserError("audit takes sizes and values from its two files", "leave out build, start, to and given")
        name = optimizer if isinstance(optimizer, str) else None
        small, large = audit
        return TransferAudit(audit_pair((Path(small), Path(large)), check_names(names or {}), recipe, name))
    if build is None or start is None or to is None:
        raise UserError("transfer takes a model or a plan, start and to", "or audit=(SMALL, LARGE), two files of runs")
    here, there = _size(start, "start"), _size(to, "to")
    check_pair(here, there)
    options = options_of(widths, set, optimizer, init=init, no_init=no_init, input_=input)
    functions = {"batch": batch, "loss": loss, "optimizer": optimizer, "widths": widths, "init": init}
    plan = _plan(build, here, there, options, functions)
    return Transferred(carry(plan, here, there, dict(given or {}), recipe))


def _size(given: Size, name: str) -> RunSize:
    if isinstance(given, int):
        return RunSize(width=given)
    return parse_size(given, name) if isinstance(given, str) else of_numbers(given, name)


def _plan(
    build: Given | Plan, start: RunSize, to: RunSize, options: TargetOptions, functions: Mapping[str, Any]
) -> Plan:
    if isinstance(build, Plan):
        return build
    if isinstance(build, (str, Path)) and Path(build).suffix in (".yaml", ".yml"):
        return load_plan(build)
    with eagerly(), answered("the audited code"):
        return plan_for(target_of(build, options, functions), start, to)
