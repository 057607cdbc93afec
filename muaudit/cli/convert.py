"""`muaudit convert`: µP without touching the model's code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from muaudit.cli import flags as flag
from muaudit.cli.guard import guarded
from muaudit.cli.output import show
from muaudit.cli.progress import bar, progress
from muaudit.errors import UserError

if TYPE_CHECKING:
    from muaudit.audits.job import Job
    from muaudit.checkpoints.verify import Verified
    from muaudit.cli.request import Flags
    from muaudit.convert.base_shapes import Base
    from muaudit.convert.output import Output, Wanted
    from muaudit.convert.plan import Hook
    from muaudit.report.layout import Line
    from muaudit.report.model import Report, SourceFix
    from muaudit.targets import Target


@guarded
def convert(
    base_width: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="The width that hyperparameters are tuned at.", show_default=False),
    ] = None,
    target: flag.Target = None,
    bsh: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take the base width from a base shape file of microsoft/mup's.")
    ] = None,
    width: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The width to train at (default: the model's own).")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for plan.yaml and the state dict.")] = Path(
        "mup"
    ),
    optimizer: Annotated[
        str | None, typer.Option(metavar="NAME", help="The optimizer to plan for (default: the target's, else adamw).")
    ] = None,
    probes: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=N,N", help="Probe widths of the audit, e.g. n_embd=64,128. Repeatable."),
    ] = None,
    set_: flag.Set = None,
    input_: flag.Input = None,
    init: flag.Init = None,
    no_init: flag.NoInit = False,
    profile: flag.Profile = None,
    formulation: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="absorbed (no forward multipliers where that can be), table3, table8 or table9."
        ),
    ] = "absorbed",
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the initialization that is written (default 0).")
    ] = None,
    state_dict: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Convert this checkpoint: safetensors, an index of several, or torch."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="The checkpoint is an initialization: scale it to the µP init.")
    ] = False,
    function_preserving: Annotated[
        bool,
        typer.Option(
            "--function-preserving",
            help="The checkpoint is trained: move it to this formulation; its outputs stay and training can go on.",
        ),
    ] = False,
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="PLAN", help="The plan it was trained by (default: plan.yaml beside it)."),
    ] = None,
    optimizer_state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its optimizer's state, to be moved along (torch checkpoint).")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Copy tensors that the model does not have as they are. Repeatable."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Load the checkpoint before and after, and compare the model's outputs.")
    ] = False,
    emit_python: Annotated[
        bool, typer.Option("--emit-python", help="Write mup_plan.py too: the plan as a module that needs torch alone.")
    ] = False,
    emit_bsh: Annotated[
        bool, typer.Option("--emit-bsh", help="Write model.bsh too: base shapes for microsoft/mup.")
    ] = False,
    config: flag.Config = None,
    isolated: flag.Isolated = False,
    debug: flag.Debug = False,
) -> int:
    """Plan the conversion to µP, and convert checkpoints. Scales are applied from outside: no model is rewritten."""
    from muaudit.cli.request import Flags
    from muaudit.convert.output import Wanted

    job = _job(
        Flags(
            target, probes or (), set_ or (), input_ or (), optimizer, profile=profile, seed=seed, config=config,
            isolated=isolated, bsh=bsh, init=init, no_init=no_init,
        )
    )  # fmt: skip
    if base_width is None and bsh is None:
        raise UserError("the base width is missing", "--base-width N says which width hyperparameters are tuned at")
    wanted = Wanted(
        out, job.seed, state_dict, fresh, function_preserving, from_, optimizer_state, tuple(keep or ()), verify,
        emit_python, emit_bsh,
    )  # fmt: skip
    wanted.check()
    # What the user's model prints while it is built must not spoil the output.
    with progress(f"converting {job.shown}"), redirect_stdout(sys.stderr):
        output, after, edits = _plan(job, base_width, width, formulation, wanted)
    with redirect_stdout(sys.stderr), bar(f"writing {out}", output.total) as advance:
        verified = output.write(advance)
    show(_lines(output, after, verified, edits))
    return after.exit_code(False)


def _job(flags: Flags) -> Job:
    """The one target that is meant. Raises UserError where several are configured and none is named."""
    from muaudit.cli.request import request

    jobs = request(flags).jobs
    if len(jobs) > 1:
        names = ", ".join(job.name for job in jobs)
        raise UserError(f"several targets are configured: {names}", f"name one: muaudit convert {jobs[0].name} ...")
    return jobs[0]


def _plan(
    job: Job, base_width: int | None, width: int | None, formulation: str, wanted: Wanted
) -> tuple[Output, Report, Mapping[Hook, SourceFix]]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from muaudit.audit import audit
    from muaudit.convert.output import prepare_output
    from muaudit.convert.planned import planned
    from muaudit.convert.planner import make_plan
    from muaudit.convert.source_edits import source_fixes
    from muaudit.convert.whole import whole
    from muaudit.parametrizations.profile_file import get_profile
    from muaudit.targets import resolve

    profile, target = get_profile(job.profile), resolve(job.text, job.options)
    if job.options.bsh is not None:
        from muaudit.convert.base_shapes import base_of

        base_width = _agreed(base_width, base_of(job.options.bsh, target))
    assert base_width is not None
    plan = make_plan(
        target, base_width, width or _own_width(target), seed=wanted.seed, formulation=formulation, profile=profile
    )
    after = audit(planned(target, plan), profile=profile, target_width=plan.width, seed=wanted.seed)
    full, why_not = whole(target, job.options, lambda changed: resolve(job.text, changed))
    return prepare_output(target, full, why_not, plan, wanted), after, source_fixes(target, plan)


def _lines(output: Output, after: Report, verified: Verified | None, edits: Mapping[Hook, SourceFix]) -> Iterator[Line]:
    from muaudit.convert.show import paste_lines, plan_lines
    from muaudit.convert.source_edits import source_diff

    plan, out = output.plan, output.wanted.out
    yield from plan_lines(plan, after, edits, source_diff(edits))
    if output.transfer is None:
        yield from paste_lines(plan, out, output.starts, output.why_not)
    else:
        from muaudit.convert.loading import loading_lines

        yield from loading_lines(plan, output.transfer, out, verified)


def _agreed(given: int | None, base: Base) -> int:
    if given not in (None, base.width):
        raise UserError(f"--base-width is {given}, the base width of {base.path} is {base.width}", "leave one out")
    return base.width


def _own_width(target: Target) -> int:
    own = target.axes[0].default
    if own is None:
        raise UserError(f"the model has no width of its own: {target.axes[0].name} has no default",
                        "say which to train at with --width N")  # fmt: skip
    return own
