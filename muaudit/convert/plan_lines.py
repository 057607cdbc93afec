"""What `muaudit convert` prints: every scale, what was absorbed and what was hooked, and the lines to paste."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from ..findings.model import Report
from ..findings.names import named
from ..plan.plan import Plan
from ..plan.plan_data import (
    factor_in_words,
    made_for_in_words,
    part_in_words,
    ratios_in_words,
    scales_in_words,
    tuned_in_words,
)
from ..plan.plan_page import Beside
from ..plan.scales import Entry, Hook
from ..report.layout import BOLD, DIM, GOOD, PASTE, WARNING, Line, columns, diff_lines, line
from .ways import pasted

_LAST_KEPT = 3  # tensor, role, init and learning rate stand in any table


def plan_lines(
    plan: Plan, after: Iterable[Report], edits: Collection[Hook] = (), diff: str = "", init: str = "",
    room: int | None = None,
) -> Iterator[Line]:  # fmt: skip
    """The plan and the verdict on the model as converted, along every axis of it.

    init: how large hidden weights start at the base width. edits: multipliers that could stand in the source instead.
    diff: the source with all of these. room: the terminal's width.
    """
    yield line(
        (f"{plan.target}, ", BOLD),
        f"{ratios_in_words(plan)}, {plan.optimizer}",
    )
    if known := made_for_in_words(plan):
        yield line(("made for ", BOLD), known, indent=2, hang=2)
    if init:
        yield line(init, indent=2, hang=2)
    yield line()
    yield from _table(plan, room)
    yield line()
    for (note,), names in _alike(((entry.note,), entry) for entry in plan.entries if entry.note).items():
        yield line((named(names), BOLD), f": {note}", indent=2, hang=2)
    for hook in plan.hooks:
        factor = factor_in_words(hook.exponent, hook.depth, hook.constant)
        yield line(
            (f"{hook.module}", BOLD),
            f": {part_in_words(hook)}its {hook.on} × {factor} in a forward hook; {hook.note}; "
            + ("better made in the source, below" if hook in edits else "no edit of the source is known"),
            indent=2,
            hang=2,
        )
    if plan.tuned:
        yield line(tuned_in_words(plan), indent=2, hang=2)
    held = any(entry.note for entry in plan.entries)
    said = "held there, a multiplier trains as it would in the forward (TP5, Lemma J.1)" if held else ""
    if not plan.hooks:
        said = f"{said}: no forward code changes" if said else "no forward code changes"
    if said:
        yield line((said, DIM), indent=2, hang=2)
    for _, text in plan.caveats:
        yield line(("note: ", DIM), text, indent=2, hang=2)
    if diff:
        yield line()
        yield line("in the source instead of hooks (git apply, then convert again):")
        yield from diff_lines(diff)
    for note in plan.notes:
        yield line(("not covered ", WARNING), note, indent=2, hang=2)
    yield line()
    for each in after:
        yield from _verdict(each)


def _table(plan: Plan, room: int | None) -> Iterator[Line]:
    """The scales of every tensor; a narrow terminal goes without the last of them, and is told so."""
    titles = ("tensor", *list(scales_in_words(plan, plan.entries[0]))[1:])
    told = ((tuple(scales_in_words(plan, entry).values())[1:], entry) for entry in plan.entries)
    rows = [titles, *((named(names), *row) for row, names in _alike(told).items())]
    made = columns(rows, indent=2, hang=4, room=room, optional=range(len(titles) - 1, _LAST_KEPT, -1))
    yield from made
    if left_out := [title.removesuffix(" ×") for title in titles if title not in made[0].text]:
        yield line((f"scales of {' and '.join(left_out)}: in plan.yaml, or at a wider terminal", DIM), indent=2)


def _alike(pairs: Iterable[tuple[tuple[str, ...], Entry]]) -> dict[tuple[str, ...], list[str]]:
    """The names of all tensors of which the same is told, by what is told; none that a pattern among them covers."""
    found: dict[tuple[str, ...], list[Entry]] = {}
    for told, entry in pairs:
        found.setdefault(told, []).append(entry)
    return {told: [e.pattern for e in alike if not _covered(e, alike)] for told, alike in found.items()}


def _covered(entry: Entry, others: Iterable[Entry]) -> bool:
    return "*" not in entry.pattern and any("*" in each.pattern and each.matches(entry.pattern) for each in others)


def _verdict(after: Report) -> Iterable[Line]:
    errors = [v for v in after.violations if v.severity == "error"]
    over = "" if after.axis == "width" else f" over {after.axis}"
    if not errors and not after.unanalysed:
        return [line((f"audited as converted{over}: no errors", GOOD))]
    lines = [line((f"audited as converted{over}: {len(errors)} errors, {len(after.unanalysed)} not analysed", WARNING))]
    lines += [
        line(f"{v.rule} {v.pattern or v.message}: found {v.found}, expected {v.expected}", indent=2) for v in errors
    ]
    return lines + [line(f"{u.name}: {u.reason}", indent=2) for u in after.unanalysed]


def beside(after: Iterable[Report], below: tuple[str, ...] = ()) -> Beside:
    """The same verdicts for a page. below: what to paste, shown as it is."""
    listed = list(after)
    right = all(not each.count("error") and not each.unanalysed for each in listed)
    return Beside("; ".join(next(iter(_verdict(each))).text for each in listed), "good" if right else "warning", below)


def paste_lines(plan: Plan, folder: Path, state_dict: bool, why_not: str, way: str) -> Iterator[Line]:
    """What to put into the training script, for one way to train."""
    yield line()
    yield line(f"wrote {folder / 'plan.yaml'}" + (f" and {folder / 'state_dict.safetensors'}" if state_dict else ""))
    if why_not:
        yield line(f"no state dict: {why_not}; plan.apply_(model) does the same to your own", indent=2)
    deep = f" and {plan.depth_name} {plan.depth}" if plan.depth_name else ""
    yield line(("in the training script, with the model at width ", ""), (f"{plan.width}{deep}:", BOLD))
    applied = [
        "import muaudit",
        f'plan = muaudit.load_plan("{folder / "plan.yaml"}")',
        "plan.apply_(model)  # once, right after the model is made and initialized",
    ]
    code = pasted(plan, applied, way)
    if state_dict:
        code += [
            "# or, in place of apply_, start from the weights that were written:",
            f'# safetensors.torch.load_model(model, "{folder / "state_dict.safetensors"}"); plan.install_hooks(model)',
        ]
    for row in code:
        yield line((row, PASTE), indent=4)


def next_steps(plan: Plan, after: Iterable[Report], folder: Path) -> Iterator[str]:
    """What is left to mend, else what shows in training that the converted model is right."""
    listed, file = list(after), folder / "plan.yaml"
    wrong = next((each for each in listed if each.count("error") or each.unanalysed), None)
    if wrong is not None:
        errors = [each.rule for each in wrong.violations if each.severity == "error"]
        axis = "" if wrong.axis == "width" else f" --axis {wrong.axis}"
        yield f"muaudit check{axis} --plan {file} shows what is left"
        yield f"muaudit explain {(errors or [each.rule for each in wrong.unanalysed])[0]} says why"
    depths = " --depths 2,4,8,16" if plan.depth_name and plan.m == 1.0 else ""
    yield f"muaudit coord-check --plan {file}{depths} measures it in training"
    yield f"muaudit sweep --plan {file}{depths} shows whether the best learning rate stays"
