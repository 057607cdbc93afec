"""`muaudit.transfer`: hyperparameters tuned at one width, as every tensor needs them at another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..convert.planner import make_plan
from ..plan.file import load_plan
from ..plan.plan import Plan
from ..report.layout import Line
from ..targets.eager import eagerly
from ..targets.usercode import answered
from ..transfer.carry import Transfer, as_data, carry
from ..transfer.transfer_lines import transfer_lines
from .given_targets import Given, options_of, target_of
from .shown import Shown


class Transferred(Shown):
    """Every hyperparameter at another width."""

    def __init__(self, transfer: Transfer) -> None:
        self.transfer = transfer

    def rows(self) -> list[dict[str, Any]]:
        """A row for every tensor pattern: its factors, and the values that were given carried over."""
        return [
            {"tensor": pattern, "roles": roles, "optimizer": group.optimizer,
             **{f"{name} ×": factor for name, (factor, _) in group.scales.items()}, **group.values}
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
        return f"{self.transfer.plan.width_name} {self.transfer.start} → {self.transfer.to}: {given or 'factors'}"

    def _lines(self) -> Iterable[Line]:
        return transfer_lines(self.transfer)


def transfer(
    build: Given | Plan,
    *,
    start: int,
    to: int,
    given: Mapping[str, float] | None = None,
    batch: Callable[..., Any] | None = None,
    loss: Callable[..., Any] | None = None,
    optimizer: Callable[..., Any] | str | None = None,
    widths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    set: Mapping[str, Any] | None = None,
) -> Transferred:
    """Hyperparameters at another width, tensor by tensor; as `muaudit transfer`.

    build: a plan, the path of a plan.yaml, or a target as for `check`. start: the width that `given` ({"lr": 3e-3})
    holds at. to: the width to carry it to.

    Raises:
        UserError: the target cannot be planned for, or a hyperparameter is not known.
    """
    plan = _plan(build, start, to, batch, loss, optimizer, widths, set)
    return Transferred(carry(plan, start, to, dict(given or {})))


def _plan(
    build: Given | Plan, start: int, to: int, batch: Any, loss: Any, optimizer: Any, widths: Any, set_: Any
) -> Plan:  # fmt: skip
    if isinstance(build, Plan):
        return build
    if isinstance(build, (str, Path)) and Path(build).suffix in (".yaml", ".yml"):
        return load_plan(build)
    functions = {"batch": batch, "loss": loss, "optimizer": optimizer, "widths": widths}
    with eagerly(), answered("the audited code"):
        return make_plan(target_of(build, options_of(widths, set_, optimizer), functions), start, to)
