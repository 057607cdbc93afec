"""`muaudit convert`: µP without touching the model's code."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from muaudit.cli.guard import guarded
from muaudit.cli.output import show
from muaudit.cli.progress import progress
from muaudit.errors import UserError

if TYPE_CHECKING:
    from muaudit.report.layout import Line
    from muaudit.target import Target, TargetOptions


@guarded
def convert(
    base_width: Annotated[
        int, typer.Option(metavar="N", min=1, help="The width that hyperparameters are tuned at.", show_default=False)
    ],
    target: Annotated[
        str | None,
        typer.Argument(
            help="file.py, file.py:Name, package.module:Name, or a Hugging Face config.json (folder or file). "
            "Left out: the configured targets, else the one auditable file here.",
            show_default=False,
        ),
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
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another constructor argument or config field. Repeatable."),
    ] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="[NAME=]SPEC", help="What the forward is called with, e.g. 'int64[2,32]'. Repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the initialization that is written.")] = 0,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of whatever goes wrong.")] = False,
) -> int:
    """Plan the conversion to µP: scales for init and learning rates, applied from outside the model."""
    from muaudit.target.options import TargetOptions, parse_inputs, parse_set, parse_widths

    options = TargetOptions(
        widths=parse_widths(probes or ()),
        set=parse_set(set_ or ()),
        inputs=parse_inputs(input_ or ()),
        optimizer=optimizer,
    )
    # What the user's model prints while it is built must not spoil the output.
    with redirect_stdout(sys.stderr), progress(f"converting {target or 'the model here'}"):
        lines, code = _convert(target, options, base_width, width, out, seed)
    show(lines)
    return code


def _convert(
    text: str | None, options: TargetOptions, base_width: int, width: int | None, out: Path, seed: int
) -> tuple[list[Line], int]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from muaudit.audit import audit
    from muaudit.convert.files import write_plan
    from muaudit.convert.planned import planned
    from muaudit.convert.planner import make_plan
    from muaudit.convert.show import paste_lines, plan_lines
    from muaudit.convert.whole import whole
    from muaudit.target import resolve

    target = resolve(text, options)
    plan = make_plan(target, base_width, width or _own_width(target), seed=seed)
    after = audit(planned(target, plan), target_width=plan.width, seed=seed)
    full, why_not = whole(target, options, lambda changed: resolve(text, changed))
    if full is not None:
        from muaudit.convert.state import write_fresh

        write_fresh(full, plan, out / "state_dict.safetensors", seed)
    write_plan(plan, out / "plan.yaml")
    lines = [*plan_lines(plan, after), *paste_lines(plan, out, full is not None, why_not)]
    return lines, after.exit_code(False)


def _own_width(target: Target) -> int:
    own = target.axes[0].default
    if own is None:
        raise UserError(f"the model has no width of its own: {target.axes[0].name} has no default",
                        "say which to train at with --width N")  # fmt: skip
    return own
