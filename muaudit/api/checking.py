"""`muaudit.check`: the audit of a target, as a report with a view for notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..audit import audit
from ..audit.over_depth import audit_over_depth
from ..errors import UserError
from ..findings.model import Report
from ..jobs.job import AXES
from ..page.html_document import Section
from ..parametrizations.profiles import Profile
from ..plan.plan import Plan
from ..report.html import audit_section
from ..report.json import to_dict
from ..report.layout import Line
from ..report.terminal import report_lines
from ..suggest import nearest
from ..targets.eager import eagerly
from ..targets.usercode import answered
from .given_targets import Given, converted, options_of, target_of
from .shown import Shown


class AuditReport(Shown, Report):
    """The report of an audit, as `check --format json` writes it. `ok`: whether nothing is wrong."""

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.count("error")

    def rows(self) -> list[dict[str, Any]]:
        """The findings."""
        return [
            {"rule": v.rule, "severity": v.severity, "of": v.pattern or v.module, "found": v.found,
             "expected": v.expected, "at": f"{v.file}:{v.line}" if v.file else "", "message": v.message, "fix": v.fix}
            for v in self.violations
        ]  # fmt: skip

    def tensor_rows(self) -> list[dict[str, Any]]:
        """The parameters with their exponents of width."""
        listed: list[dict[str, Any]] = to_dict(self)["tensors"]
        return listed

    def to_dict(self) -> dict[str, Any]:
        """The report of the contract, `muaudit.report/1`."""
        return to_dict(self)

    @property
    def headline(self) -> str:
        """One line that says how it went."""
        counts = [
            f"{self.count('error')} errors",
            f"{self.count('warning')} warnings",
            f"{self.count('advice')} advice",
        ]
        return f"{self.target}, {self.verdict}: {', '.join(counts)}"

    def _lines(self) -> Iterable[Line]:
        return report_lines(self, False, False, False, None)

    def _sections(self) -> list[Section]:
        return [audit_section(self, "target-1", Path.cwd())]


def check(
    build: Given,
    *,
    batch: Callable[..., Any] | None = None,
    loss: Callable[..., Any] | None = None,
    optimizer: Callable[..., Any] | str | None = None,
    scheduler: Callable[..., Any] | None = None,
    widths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    depths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    axis: str = "width",
    profile: Profile | str = "tp5",
    seed: int = 0,
    target_width: int | None = None,
    init: Callable[..., Any] | None = None,
    set: Mapping[str, Any] | None = None,
    plan: Plan | str | Path | None = None,
) -> AuditReport:
    """Audit a model; the same report as `muaudit check`.

    build: `(width) -> nn.Module`, a model class, or a target as the command line takes it ("model.py:GPT").
    batch: `(width) -> tensor | tuple | dict`, the forward's input. loss: `(output, batch) -> scalar`.
    optimizer: `(model) -> torch.optim.Optimizer`, or a name. scheduler: `(optimizer)` -> what steps its learning rates.
    widths: two or more ascending sizes, or these by argument. init: `(model)`, initializes the model after it is built.
    set: constructor arguments. plan: the model is judged as this plan converts it. axis: "depth" audits along the
    number of blocks, an argument of `build` of its own; depths: two of them, or these by argument.

    Raises:
        UserError: something in these does not fit.
    """
    if axis not in AXES:
        raise UserError(f"no axis is called {axis!r}", nearest(axis, AXES, "axes"))
    with eagerly(), answered("the audited code"):
        functions = {"batch": batch, "loss": loss, "optimizer": optimizer, "scheduler": scheduler, "widths": widths,
                     "init": init, "depths": depths}  # fmt: skip
        target = converted(target_of(build, options_of(widths, set, optimizer, depths), functions), plan)
        if axis == "width":
            found = audit(target, profile=profile, seed=seed, target_width=target_width)
        else:
            found = audit_over_depth(target, profile="completep" if profile == "tp5" else profile, seed=seed)
    return AuditReport(**{each.name: getattr(found, each.name) for each in fields(found)})
