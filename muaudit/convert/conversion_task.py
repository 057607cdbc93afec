"""A conversion from the target to the files, meant for a child: it builds the model, and so runs the user's code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..audit import audit
from ..audit.over_depth import audit_over_depth
from ..checkpoints.folder import shown_size
from ..checkpoints.verify import Verified
from ..errors import UserError
from ..findings.model import Report, SourceFix
from ..isolation.child import alive, tell
from ..isolation.plain_data import plain
from ..jobs.job import Job
from ..page.html_document import whole_page
from ..parametrizations.profile_file import get_profile
from ..parametrizations.profiles import Profile
from ..plan.file import load_plan
from ..plan.plan_page import plan_section
from ..plan.planned import planned
from ..plan.scales import Hook
from ..report.layout import Line, line, next_line
from ..targets import Target, TargetOptions, resolve
from ..targets.at_depth import at_depths, depths_at
from ..targets.base_shapes import BaseFile, base_of
from ..targets.whole import whole
from ..telling import tell as tell_user
from .base_init import base_init
from .known_model import with_model, with_starts
from .loading import loading_lines
from .output_folder import STATE_DICT, Conversion, Wanted, prepare_output
from .plan_lines import beside, next_steps, paste_lines, plan_lines
from .plan_sizes import PlanSizes
from .planner import make_plan
from .reservations import renewed
from .source_edits import source_diff, source_fixes


def converted(
    job: Job, sizes: PlanSizes, formulation: str, wanted: Wanted, html: bool = False, room: int | None = None
) -> dict[str, Any]:
    """Plan and write. `lines` to show, and the exit `code`, as plain data; html: a whole `page` besides.

    room: the terminal's width.

    Raises:
        UserError: the target cannot be planned for, or the files cannot be written.
    """
    with redirect_stdout(sys.stderr):
        output, after, edits = _plan(job, sizes, formulation, wanted)
        _announce(output)
        verified = output.write(_Told(output.total if output.transfer else 0).advance)
        lines = [plain(each) for each in _lines(output, after, verified, edits, room)]
        page = _page(output, after, verified) if html else ""
    return {"lines": lines, "code": max(each.exit_code(False) for each in after), "page": page}


def shown_plan(job: Job, sizes: PlanSizes, formulation: str, folder: Path) -> dict[str, str]:
    """A plan that is written into `folder` as plan.yaml, and its section of a page as plain data.

    Raises:
        UserError: the target cannot be planned for.
    """
    with redirect_stdout(sys.stderr):
        output, after, _ = _plan(job, sizes, formulation, Wanted(folder, job.seed, no_state_dict=True))
        output.write(lambda size: None)
    made = plan_section(output.plan, beside=beside(after))
    return {"title": made.title, "style": made.style, "body": str(made.body)}


def _page(output: Conversion, after: Sequence[Report], verified: Verified | None) -> str:
    """The plan as a document, with what is to be pasted or was written."""
    below = tuple(line.text for line in _below(output, verified))
    return whole_page(output.plan.target, [plan_section(output.plan, beside=beside(after, below))])


def _announce(output: Conversion) -> None:
    """Say how much is about to be written, before it is: a state dict can be of any size."""
    if output.total:
        what = "the converted checkpoint" if output.transfer else STATE_DICT
        leave = "" if output.transfer else " (--no-state-dict leaves it out)"
        size = shown_size(output.total)
        tell_user(f"writing {what} to {output.wanted.out}, {size}{leave}")


class _Told:
    """Tells how many bytes of all are written."""

    def __init__(self, total: int) -> None:
        self.done, self.total = 0, total

    def advance(self, size: int) -> None:
        self.done += size
        if self.total:
            tell(self.done, self.total)
        else:
            alive()


def _plan(
    job: Job, sizes: PlanSizes, formulation: str, wanted: Wanted
) -> tuple[Conversion, tuple[Report, ...], Mapping[Hook, SourceFix]]:
    profile, target = get_profile(job.profile), resolve(job.text, job.options)
    again = partial(resolve, job.text)
    output, after = conversion(target, job.options, again, sizes, formulation, profile, wanted)
    return output, after, source_fixes(target, output.plan)


def conversion(
    target: Target,
    options: TargetOptions,
    again: Callable[[TargetOptions], Target],
    sizes: PlanSizes,
    formulation: str,
    profile: Profile,
    wanted: Wanted,
) -> tuple[Conversion, tuple[Report, ...]]:
    """What is about to be written, and the audits of the model as converted, one an axis.

    options: the target's; the base width of its base shapes is the plan's. again: resolves the same target with others.

    Raises:
        UserError: the target cannot be planned for, or base shapes or a checkpoint are damaged or another model's.
    """
    if options.bsh is not None:
        sizes = replace(sizes, base_width=_agreed(sizes.base_width, base_of(options.bsh, target)))
    if sizes.plan is not None:
        plan = load_plan(sizes.plan)
        depths = (plan.base_depth, plan.depth) if plan.depth_name else None
        base_width = None if plan.depth_name and plan.m == 1.0 else plan.base_width
        profile = get_profile(plan.profile)
    else:
        base_width, width = sizes.base_width, sizes.width or _own_width(target, sizes.base_width is None)
        depths = None if sizes.base_depth is None else (sizes.base_depth, sizes.depth or _own_depth(target))
        plan = make_plan(
            target, base_width, width, seed=wanted.seed, formulation=formulation, profile=profile, depths=depths,
            zeros=wanted.zeros,
        )  # fmt: skip
    full, why_not = whole(target, options, again)
    if full is not None and depths is not None and plan.depth != full.depths[0].default:
        full = at_depths(full, depths_at(full, plan.depth))
    if sizes.plan is None or plan.made_for is None or not plan.made_for.heads:
        plan = with_starts(with_model(plan, target, full), full, wanted.seed)
    plan = renewed(plan, target, loaded=True) if wanted.function_preserving else plan
    turned, after = planned(target, plan), []
    if base_width is not None:
        after.append(audit(turned, profile=profile, target_width=plan.width, seed=wanted.seed))
    if depths is not None:
        after.append(audit_over_depth(turned, profile=profile, seed=wanted.seed))
    return prepare_output(target, full, why_not, plan, wanted), tuple(after)


def _lines(
    output: Conversion, after: Iterable[Report], verified: Verified | None, edits: Mapping[Hook, SourceFix],
    room: int | None,
) -> Iterator[Line]:  # fmt: skip
    plan = output.plan
    init = base_init(output.target, plan) if plan.m != 1.0 else None
    yield from plan_lines(plan, after, edits, source_diff(edits), init.in_words() if init is not None else "", room)
    yield from _below(output, verified)
    yield line()
    if output.wanted.function_preserving and verified is None:
        yield next_line("--verify compares the outputs before and after")
    else:
        yield next_line(*next_steps(plan, tuple(after), output.wanted.out))


def _below(output: Conversion, verified: Verified | None) -> Iterator[Line]:
    """What was written, and what to paste."""
    plan, out = output.plan, output.wanted.out
    if output.transfer is None:
        yield from paste_lines(plan, out, output.starts, output.why_not, output.wanted.way)
    else:
        yield from loading_lines(plan, output.transfer, out, verified)


def _agreed(given: int | None, base: BaseFile) -> int:
    if given not in (None, base.width):
        raise UserError(f"--base-width is {given}, the base width of {base.path} is {base.width}", "leave one out")
    return base.width


def _own_depth(target: Target) -> int:
    own = target.depths[0].default if target.depths else None
    if own is None:
        name = f": {target.depths[0].name} has no default" if target.depths else ""
        raise UserError(f"the model has no depth of its own{name}", "say which to train at with --depth N")
    return own


def _own_width(target: Target, any_width: bool) -> int:
    """any_width: whether it matters for nothing but the weights that are written."""
    own = target.axes[0].default
    if own is None and any_width:
        return target.axes[0].probes[0]
    if own is None:
        raise UserError(f"the model has no width of its own: {target.axes[0].name} has no default",
                        "say which to train at with --width N")  # fmt: skip
    return own
