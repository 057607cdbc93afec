"""`muaudit check`: from any model to a verdict."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from muaudit.cli.guard import guarded
from muaudit.cli.output import terminal_width, write
from muaudit.cli.progress import progress

if TYPE_CHECKING:
    from muaudit.report.model import Report
    from muaudit.target.options import TargetOptions


@guarded
def check(
    target: Annotated[
        str | None,
        typer.Argument(
            help="file.py, file.py:Name, package.module:Name, or a Hugging Face config.json (folder or file). "
            "Left out: the configured targets, else the one auditable file here.",
            show_default=False,
        ),
    ] = None,
    width: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=N,N", help="Probe widths, e.g. n_embd=64,128. Repeat for independent widths."),
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
    optimizer: Annotated[
        str | None, typer.Option(metavar="NAME", help="The optimizer where the target has none (default adamw).")
    ] = None,
    lr_group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN=EXPONENT", help="Learning rate ∝ width^EXPONENT for matching parameters. Repeatable."
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="School of µP: tp5 (default), standard-full-align, lingle."),
    ] = None,
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="rich, concise or json.")] = "rich",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report there instead of stdout.")
    ] = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="Add the full table of tensors (rich format).")] = False,
    why: Annotated[
        str | None, typer.Option(metavar="NAME", help="Print the derivation for one tensor or activation instead.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 when anything could not be analysed.")] = False,
    target_width: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="The width you will train at; Adam's eps is judged there."),
    ] = None,
    plan: Annotated[Path | None, typer.Option(metavar="FILE", help="Judge the model as this plan converts it.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the first initialization.")] = 0,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of whatever goes wrong.")] = False,
) -> int:
    """Report what breaks as the model widens: where, why, and the fix."""
    from muaudit.report.render import check_format, render

    check_format(format_)
    options = _options(width, set_, input_, optimizer, lr_group)
    # What the user's model prints while it is built must not spoil the report.
    reports = []
    for text, chosen, school in _targets(target, options, profile):
        with redirect_stdout(sys.stderr), progress(f"auditing {text or 'the model here'}"):
            reports.append(_audit(text, chosen, school, target_width, plan, seed))
    columns = terminal_width() if output is None else None
    texts = [render(each, format_, tensors=tensors, why=why, strict=strict, width=columns) for each in reports]
    several = f"[{','.join(texts)}]\n" if format_ == "json" else "\n".join(texts)
    write(texts[0] if len(texts) == 1 else several, output)
    return max(report.exit_code(strict) for report in reports)


def _targets(
    text: str | None, flags: TargetOptions, profile: str | None
) -> list[tuple[str | None, TargetOptions, str]]:
    """What to audit: the configured target of that name, all of them without a name, else TARGET as it stands."""
    from muaudit.target.settings import configured, merged

    if text is not None and Path(text).exists():
        return [(text, flags, profile or "tp5")]
    known = configured(Path.cwd())
    chosen = [known[text]] if text in known else list(known.values()) if text is None else []
    if not chosen:
        return [(text, flags, profile or "tp5")]
    return [(each.target, merged(each.options, flags), profile or each.profile or "tp5") for each in chosen]


def _options(
    width: list[str] | None,
    set_: list[str] | None,
    input_: list[str] | None,
    optimizer: str | None,
    lr_group: list[str] | None,
) -> TargetOptions:
    from muaudit.target.options import TargetOptions, parse_inputs, parse_lr_groups, parse_set, parse_widths

    return TargetOptions(
        widths=parse_widths(width or ()),
        set=parse_set(set_ or ()),
        inputs=parse_inputs(input_ or ()),
        optimizer=optimizer,
        lr_groups=parse_lr_groups(lr_group or ()),
    )


def _audit(
    text: str | None, options: TargetOptions, profile: str, target_width: int | None, plan: Path | None, seed: int
) -> Report:
    from muaudit.parametrizations.profiles import get_profile

    chosen = get_profile(profile)
    # Probes are small: starting and joining threads costs more than the arithmetic. Read when torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from muaudit.audit import audit
    from muaudit.target import resolve

    found = resolve(text, options)
    if plan is not None:
        from muaudit.convert.plan import load_plan
        from muaudit.convert.planned import planned

        found = planned(found, load_plan(plan))
    return audit(found, profile=chosen, target_width=target_width, seed=seed)
