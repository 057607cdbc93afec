"""`muaudit.check`: the audit of a target, as a report with a view for notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..findings.model import Report, Step
from ..jobs.job import AXES, audit_target
from ..page.html_document import Section
from ..parametrizations.profile_file import get_profile
from ..parametrizations.profiles import Profile
from ..plan.plan import Plan
from ..report.html import audit_section
from ..report.json import to_dict
from ..report.layout import Line
from ..report.render import derivation_name
from ..report.terminal import derivation_lines, report_lines
from ..suggest import nearest
from ..targets.eager import eagerly
from ..targets.usercode import answered
from .given_targets import Given, Texts, options_of, target_of
from .shown import Shown


@dataclass(frozen=True, repr=False)
class AuditReport(Shown, Report):
    """The report of an audit, as `check --format json` writes it. `ok`: whether nothing is wrong.

    why: the tensor or activation whose derivation was asked for.
    """

    why: str | None = None

    @property
    def derivation(self) -> tuple[Step, ...] | None:
        """How the exponents of `why` come about; None where nothing was asked for."""
        return None if self.why is None else tuple(self.derivations[self.why])

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
        return to_dict(self, self.derivation)

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
        if self.why is not None:
            return derivation_lines(self.why, self.derivations[self.why])
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
    init: Callable[..., Any] | str | None = None,
    no_init: bool = False,
    set: Mapping[str, Any] | None = None,
    input: Texts = (),
    lr_group: Texts = (),
    optimizer_kind: Texts = (),
    bsh: Path | str | None = None,
    plan: Plan | str | Path | None = None,
    why: str | None = None,
) -> AuditReport:
    """Audit a model; the same report as `muaudit check`.

    build: `(width) -> nn.Module`, a model class, or a target as the command line takes it ("model.py:GPT").
    batch: `(width) -> tensor | tuple | dict`, the forward's input. loss: `(output, batch) -> scalar`.
    optimizer: `(model) -> torch.optim.Optimizer`, or a name. scheduler: `(optimizer)` -> what steps its learning rates.
    widths: two or more ascending sizes, or these by argument. init: `(model)`, or the name of a method, initializes the
    model after it is built; no_init: nothing does. set: constructor arguments. input: what the forward is called with
    ({"tokens": "int64[2,32]"}), in place of batch. lr_group: {pattern: exponent of the learning rate in width},
    optimizer_kind: {pattern: what trains these}. bsh: the model's base shapes, compared with it. plan: the model is
    judged as this plan converts it. axis: "depth" audits along the number of blocks, an argument of `build` of its own;
    depths: two of them, or these by argument. why: a tensor or an activation whose derivation the result shows.

    Raises:
        UserError: something in these does not fit.
    """
    if axis not in AXES:
        raise UserError(f"no axis is called {axis!r}", nearest(axis, AXES, "axes"))
    options = options_of(widths, set, optimizer, depths, init=init, no_init=no_init, input_=input, lr_group=lr_group,
                         optimizer_kind=optimizer_kind, bsh=bsh)  # fmt: skip
    by = Path(plan) if isinstance(plan, str) else plan
    school = get_profile(profile) if isinstance(profile, str) else profile
    with eagerly(), answered("the audited code"):
        functions = {"batch": batch, "loss": loss, "optimizer": optimizer, "scheduler": scheduler, "widths": widths,
                     "init": init, "depths": depths}  # fmt: skip
        target = target_of(build, options, functions)
        _, found = audit_target(target, school, seed, axis, target_width, options.bsh, by)
    name = None if why is None else derivation_name(why, found.derivations)
    return AuditReport(**{each.name: getattr(found, each.name) for each in fields(found)}, why=name)
