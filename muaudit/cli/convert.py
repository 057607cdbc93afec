"""`muaudit convert`: µP without touching the model's code."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from muaudit.cli import flags as flag
from muaudit.cli.guard import guarded
from muaudit.cli.output import terminal_width, write
from muaudit.cli.pipeline import patience
from muaudit.cli.progress import bar, progress
from muaudit.cli.report_files import check_outputs
from muaudit.cli.request import Flags, request
from muaudit.convert.plan_sizes import PlanSizes, check_sizes
from muaudit.errors import UserError
from muaudit.isolation import Task, run_task
from muaudit.isolation.plain_data import rebuilt
from muaudit.report.layout import Line
from muaudit.report.render import to_text
from muaudit.suggest import check_format
from muaudit.visible import visible

if TYPE_CHECKING:
    from muaudit.cli.request import Flags
    from muaudit.jobs.job import Job

FORMATS = ("rich", "html")


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
    base_depth: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="The number of blocks that hyperparameters are tuned at."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take this plan, of tune or of transfer --format plan, and make none."),
    ] = None,
    depth: Annotated[
        str | None,
        typer.Option(metavar="[NAME=]N", help="The number of blocks to train at (default: the model's own)."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for plan.yaml and the state dict.")] = Path(
        "mup"
    ),
    optimizer: Annotated[
        str | None, typer.Option(metavar="NAME", help="The optimizer to plan for (default: the target's, else adamw).")
    ] = None,
    optimizer_kind: flag.OptimizerKind = None,
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
    no_state_dict: Annotated[
        bool, typer.Option("--no-state-dict", help="Write the plan alone: no initialization.")
    ] = False,
    zero_readout: Annotated[
        bool, typer.Option("--zero-readout", help="Readouts start at zero (TP5 D.2), at the base width too.")
    ] = False,
    zero_query: Annotated[
        bool, typer.Option("--zero-query", help="Queries start at zero (TP5 D.2), where heads grow with the width.")
    ] = False,
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
    emit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Write the plan as rules for megatron, megatron-bridge, torchtitan, automodel, olmo-core, trainer, "
            "deepspeed, cerebras or json. Repeatable.",
        ),
    ] = None,
    for_: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="NAME",
            help="The lines to paste are for this way to train: plain, trainer, accelerate, lightning or fsdp2.",
        ),
    ] = "plain",
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="rich or html.")] = "rich",
    output: flag.ReportFile = None,
    config: flag.Config = None,
    isolated: flag.Isolated = False,
    timeout: flag.Timeout = None,
    debug: flag.Debug = False,
) -> int:
    """Plan the conversion to µP, and convert checkpoints. Scales are applied from outside: no model is rewritten."""
    from muaudit.convert.output_folder import Wanted

    check_format(format_, FORMATS)
    check_outputs([output], [target, state_dict, from_, optimizer_state, plan])
    job = _job(
        Flags(
            target, probes or (), set_ or (), input_ or (), optimizer, profile=profile, seed=seed, config=config,
            isolated=isolated, bsh=bsh, init=init, no_init=no_init, optimizer_kind=optimizer_kind or (), axis="width",
        )
    )  # fmt: skip
    check_sizes(plan, base_width=base_width, width=width, base_depth=base_depth, depth=depth, bsh=bsh,
                zero_readout=zero_readout, zero_query=zero_query, formulation=formulation != "absorbed")  # fmt: skip
    name, blocks = _blocks(depth, base_depth)
    if name:
        options = replace(job.options, depths={name: (), **job.options.depths})
        job = replace(job, options=options)
    sizes = PlanSizes(base_width, width, base_depth, blocks, plan)
    wanted = Wanted(
        out, job.seed, state_dict, no_state_dict, fresh, function_preserving, from_, optimizer_state,
        tuple(keep or ()), verify, emit_python, emit_bsh, for_,
        tuple(emit or ()), (*(["readout"] if zero_readout else []), *(["query"] if zero_query else [])),
    )  # fmt: skip
    wanted.check()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # probes are small
    columns = terminal_width() if output is None else None
    task = Task(job.shown, "muaudit.convert.conversion_task:converted",
                (job, sizes, formulation, wanted, format_ == "html", columns))  # fmt: skip
    with _shown(f"converting {job.shown}", f"writing {out}") as told:
        done = run_task(task, patience=patience(timeout, config, isolated), progress=told)
    lines = [rebuilt(Line, each) for each in done["lines"]]
    write(visible(str(done["page"])) if format_ == "html" else to_text(lines, columns), output)
    return int(done["code"])


def _blocks(text: str | None, base: int | None) -> tuple[str, int | None]:
    """`n_layer=32` or `32`: the argument, empty where it is left open, and the number of blocks."""
    if text is None:
        return "", None
    if base is None:
        raise UserError("the base depth is missing", "--base-depth N says at how many blocks hyperparameters are tuned")
    name, _, number = text.rpartition("=")
    if not number.strip().isdecimal() or int(number) < 1:
        raise UserError(f"--depth expects a number of blocks, found {text!r}", "for example --depth 32 or n_layer=32")
    return name.strip(), int(number)


@contextmanager
def _shown(first: str, then: str) -> Iterator[Callable[[int, int], None]]:
    """A spinner, and a bar once there is a number of bytes to write; what it yields is told how many are done."""
    with ExitStack() as stack:
        stack.enter_context(progress(first))
        advance: Callable[[int], None] | None = None
        written = 0

        def told(done: int, total: int) -> None:
            nonlocal advance, written
            if advance is None:
                stack.close()
                advance = stack.enter_context(bar(then, total))
            advance(done - written)
            written = done

        yield told


def _job(flags: Flags) -> Job:
    """The one target that is meant. Raises UserError where several are configured and none is named."""
    jobs = request(flags).jobs
    if len(jobs) > 1:
        names = ", ".join(job.name for job in jobs)
        raise UserError(f"several targets are configured: {names}", f"name one: muaudit convert {jobs[0].name} ...")
    return jobs[0]
