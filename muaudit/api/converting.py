"""`muaudit.convert`: a plan for a target, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..convert.conversion_task import conversion
from ..convert.output_folder import Conversion, Wanted
from ..convert.plan_lines import beside, plan_lines
from ..convert.plan_sizes import PlanSizes, check_sizes
from ..findings.model import Report
from ..page.html_document import Section
from ..parametrizations.profile_file import get_profile
from ..plan.plan import Plan
from ..plan.plan_page import plan_section
from ..report.layout import Line
from ..targets import resolve
from ..targets.eager import eagerly
from ..targets.usercode import answered
from .given_targets import Given, Texts, options_of, target_of
from .shown import Shown


class Converted(Shown):
    """A plan, the audits of the model as converted, and the files that were written. `ok`: whether nothing is wrong."""

    def __init__(self, plan: Plan, audits: Sequence[Report], written: Path | None) -> None:
        self.plan, self.audits, self.written = plan, tuple(audits), written

    @property
    def after(self) -> Report:
        """The first audit of the model as converted: over width, where the plan goes over it."""
        return self.audits[0]

    @property
    def ok(self) -> bool:
        """Whether the converted model was audited without an error, and nothing of it is left unanalysed."""
        return not any(each.count("error") or each.unanalysed for each in self.audits)

    def rows(self) -> list[dict[str, Any]]:
        """The scales of every tensor."""
        return self.plan.rows()

    def to_dict(self) -> dict[str, Any]:
        """The plan, as `plan.yaml` has it."""
        return self.plan.to_dict()

    @property
    def headline(self) -> str:
        """One line that says how it went."""
        verdict = "audited as converted: no errors" if self.ok else f"{self._errors} errors as converted"
        where = f", written to {self.written}" if self.written is not None else ""
        return f"{self.plan.headline}; {verdict}{where}"

    @property
    def _errors(self) -> int:
        return sum(each.count("error") for each in self.audits)

    def _lines(self) -> Iterable[Line]:
        return plan_lines(self.plan, self.audits)

    def _sections(self) -> list[Section]:
        return [plan_section(self.plan, beside=beside(self.audits))]


def convert(
    build: Given,
    *,
    base_width: int | None = None,
    width: int | None = None,
    base_depth: int | None = None,
    depth: int | None = None,
    out: Path | str | None = None,
    batch: Callable[..., Any] | None = None,
    loss: Callable[..., Any] | None = None,
    optimizer: Callable[..., Any] | str | None = None,
    scheduler: Callable[..., Any] | None = None,
    widths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    depths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    init: Callable[..., Any] | str | None = None,
    no_init: bool = False,
    set: Mapping[str, Any] | None = None,
    input: Texts = (),
    optimizer_kind: Texts = (),
    bsh: Path | str | None = None,
    plan: Path | str | None = None,
    formulation: str = "absorbed",
    profile: str = "tp5",
    seed: int = 0,
    state_dict: Path | str | None = None,
    no_state_dict: bool = False,
    fresh: bool = False,
    function_preserving: bool = False,
    old_plan: Path | str | None = None,
    optimizer_state: Path | str | None = None,
    keep: Sequence[str] = (),
    verify: bool = False,
    emit_python: bool = False,
    emit_bsh: bool = False,
    emit: Sequence[str] = (),
    zero_readout: bool = False,
    zero_query: bool = False,
    advance: Callable[[int], None] = lambda size: None,
) -> Converted:
    """Plan the conversion to µP, and write it where `out` names a folder; as `muaudit convert`.

    build and what belongs to it: as for `check`. base_width: the width that hyperparameters are tuned at; bsh: the base
    shapes that it is taken from. width: the one to train at; the model's own where it has one. base_depth, depth: the
    same for numbers of blocks. plan: the file of one that is there already, in place of sizes. state_dict and the rest:
    `muaudit convert --help`. advance: told how many bytes of a checkpoint were written.

    Raises:
        UserError: the target cannot be planned for, or the files cannot be written.
    """
    wanted = Wanted(
        out=_path(out) or Path("mup"), seed=seed, state_dict=_path(state_dict), no_state_dict=no_state_dict,
        fresh=fresh, function_preserving=function_preserving, old_plan=_path(old_plan),
        optimizer_state=_path(optimizer_state), keep=tuple(keep), verify=verify, emit_python=emit_python,
        emit_bsh=emit_bsh, emit=tuple(emit),
        zeros=(*(["readout"] if zero_readout else []), *(["query"] if zero_query else [])),
    )  # fmt: skip
    wanted.check()
    check_sizes(_path(plan), base_width=base_width, width=width, base_depth=base_depth, depth=depth, bsh=bsh,
                zero_readout=zero_readout, zero_query=zero_query, formulation=formulation != "absorbed")  # fmt: skip
    options = options_of(widths, set, optimizer, depths, init=init, no_init=no_init, input_=input,
                         optimizer_kind=optimizer_kind, bsh=bsh)  # fmt: skip
    with eagerly(), answered("the audited code"):
        functions = {"batch": batch, "loss": loss, "optimizer": optimizer, "scheduler": scheduler, "widths": widths,
                     "init": init, "depths": depths}  # fmt: skip
        made: tuple[Conversion, tuple[Report, ...]] = conversion(
            target_of(build, options, functions), options, lambda changed: resolve(str(build), changed),
            PlanSizes(base_width, width, base_depth, depth, _path(plan)), formulation, get_profile(profile), wanted,
        )  # fmt: skip
        output, after = made
        if out is not None:
            output.write(advance)
    return Converted(output.plan, after, wanted.out if out is not None else None)


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)
