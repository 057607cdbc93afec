"""The verdict in words: offenders first, measured and predicted exponents side by side, and a slope chart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import inf
from os.path import relpath

from ..report.layout import BOLD, DIM, ERROR, GOOD, WARNING, Line, columns, line, next_line
from ..thresholds import FLAT_SLOPE, TOO_WIDE
from .drawn import by_design, distinct, in_words
from .measurement import Activation, Measurement
from .verdict import CheckVerdict, JudgedActivation, Status

SHOWN = 10
CHARTED = 40
_STYLE: dict[Status, str] = {"pass": GOOD, "fail": ERROR, "undecided": WARNING}


BEYOND = (
    "predictions of changes are for small learning rates: at this one some saturate, and only whether they grow, stay "
    "or shrink is to be compared"
)
_OPTIONAL = (1, 7, 5, 3)  # where, allowed, and the predictions: what a narrow terminal goes without


def check_lines(run: Measurement, verdict: CheckVerdict, room: int | None = None) -> Iterator[Line]:
    """The report for people. room: the terminal's width."""
    yield line((at_sizes(run.describe, run.width_name, run.widths), BOLD), hang=2)
    yield line(setup_line(run), hang=2)
    for notice in run.notices:
        yield line((f"note: {notice}", WARNING), hang=2)
    yield line()
    failed, open_ = verdict.offenders, verdict.undecided
    counts = f"{len(verdict.judged)} activations: {len(failed)} fail, {len(open_)} undecided"
    yield line((f"coordinate check: {in_words(verdict.status, run.axis)}", _STYLE[verdict.status]), f"  ({counts})")
    if run.axis == "width":
        green = verdict.wider == "pass" and verdict.status != "pass"  # nothing is fine below a verdict that is not
        style = DIM if green else _STYLE[verdict.wider]
        yield line((f"wider is better: {verdict.wider}", style), f"  ({verdict.wider_detail})", hang=2)
    elif verdict.wider == "fail":
        yield line((verdict.wider_detail, ERROR))
    yield from _table("worst offenders, first where it starts", failed, room)
    yield from _table("undecided", open_, room)
    yield from _disagreements(verdict.disagreements)
    yield from _chart(verdict, run.steps)
    yield line()
    yield next_line(*next_steps(run, verdict))


def next_steps(run: Measurement, verdict: CheckVerdict) -> Iterator[str]:
    """What names the lines behind a failure, what decides what is open, what shows that a stable model transfers."""
    along = "" if run.axis == "width" else " --axis depth"
    audited = f"muaudit check{along}"
    if verdict.status == "fail" and run.audit_verdict == "mup":
        name = verdict.offenders[0].activation.name
        yield f"the audit has no error here: {audited} --why '{name}' says what it expects there"
        yield "a lower --lr tells a learning rate that is too large from a scale that is wrong"
    elif verdict.status == "fail":
        yield f"{audited} names the lines behind it"
        yield "muaudit convert writes a plan that leaves the code alone, and --plan FILE measures with it"
    elif verdict.status == "undecided":
        wide = any(s.fit.half_width > TOO_WIDE for each in verdict.undecided for s in each.slopes)
        more = f"--seeds {2 * run.seeds} narrows the intervals, " if wide or not verdict.undecided else ""
        yield f"{more}wider --{run.axis}s show where the slopes go"
    else:
        sizes = "" if run.axis == "width" else f" --depths {','.join(map(str, run.widths))}"
        yield f"muaudit sweep{sizes} shows whether the best learning rate stays"
    if verdict.status != "fail" and verdict.disagreements:
        name = verdict.disagreements[0].activation.name
        yield f"{audited} --why '{name}' says how that was predicted"


def setup_line(run: Measurement) -> str:
    """`widths 64, 128, 4 steps, 3 seeds, cpu fp32, adamw (default)`."""
    sizes = ", ".join(map(str, run.widths))
    amount = f"{count(run.steps, 'step')}, {count(run.seeds, 'seed')}"
    rate = f", lr {run.lr:g}" if run.lr else ""
    return f"{run.axis}s {sizes}, {amount}, {run.device} {run.dtype}, {run.optimizer}{rate}"


def at_sizes(describe: str, name: str, sizes: Sequence[int]) -> str:
    """What was measured, with the sizes that were trained at in the place of those that were probed."""
    shown = f"{name} {sizes[0]} → {sizes[-1]}" if sizes[0] != sizes[-1] else f"{name} {sizes[0]}"
    return re.sub(rf"\b{re.escape(name)} \d+ → \d+", lambda _: shown, describe, count=1)


def count(number: int, what: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {what}" + "s" * (number != 1)


def _table(title: str, judged: list[JudgedActivation], room: int | None) -> Iterator[Line]:
    """Blocks that return what their last layer does are in the counts, not in the table."""
    if not judged:
        return
    yield line()
    yield line((title, BOLD))
    rows = [["activation", "where", "init", "(pred.)", "change", "(pred.)", "measured", "allowed"]]
    found = [each for each in distinct(judged) if each in judged]
    for each in found[:SHOWN]:
        a = each.activation
        where = f"{_short(a.file)}:{a.line}" if a.file else "-"
        change = _change(each), predicted_change(a)
        rows.append([a.name, where, _at(each, 0), _exponent(a.predicted_init), *change, *why(each)])
    made = columns(rows, indent=2, hang=4, room=room, optional=_OPTIONAL)
    yield from made
    if made[0].text.count("(pred.)") == 2 and any(map(beyond_prediction, found[:SHOWN])):
        yield line((BEYOND, DIM), indent=2, hang=2)
    if len(judged) > len(found[:SHOWN]):
        yield line((f"and {len(judged) - len(found[:SHOWN])} more; --format json has them all", DIM), indent=2)


def _short(file: str) -> str:
    """From here, or as it is imported where it is installed."""
    here, installed = relpath(file), file.replace("\\", "/").rpartition("/site-packages/")[2]
    return here if not here.startswith("..") else installed


def _disagreements(judged: list[JudgedActivation]) -> Iterator[Line]:
    if not judged:
        return
    yield line()
    yield line(("prediction and measurement disagree: one of them is wrong", WARNING))
    for each in judged[:SHOWN]:
        yield line(f"{each.activation.name}: {each.disagreement}", indent=2, hang=2)
    if len(judged) > SHOWN:
        yield line((f"and {len(judged) - SHOWN} more", DIM), indent=2)


def _chart(verdict: CheckVerdict, steps: int) -> Iterator[Line]:
    """One row an activation, in the order of the forward pass: where its last slope lies between −1 and +1."""
    changing = (each for each in distinct(verdict.judged) if each.slopes and each.slopes[-1].step)
    named = [(each, each.slopes[-1]) for each in changing]
    if not named:
        return
    yield line()
    yield line((f"slope of the change after {count(steps, 'step')}, from −1 to +1", BOLD))
    wide = max(len(each.activation.name) for each, _ in named[:CHARTED])
    for each, slope in named[:CHARTED]:
        place = min(20, max(0, round((slope.fit.slope + 1) * 10)))
        mark = "◀" if slope.fit.slope < -1.05 else "▶" if slope.fit.slope > 1.05 else "●"
        bar = ["│" if at == 10 else "·" for at in range(21)]
        yield line(
            (f"{each.activation.name:{wide}}  ", ""), ("".join(bar[:place]), DIM), (mark, _STYLE[each.status]),
            ("".join(bar[place + 1 :]), DIM), f"  {slope.fit.slope:+.2f}{by_design(each)}", indent=2,
        )  # fmt: skip
    if len(named) > CHARTED:
        yield line((f"and {len(named) - CHARTED} more", DIM), indent=2)


def why(each: JudgedActivation) -> tuple[str, str]:
    """`step 4: +1.81 ±0.05` and the slopes that are allowed."""
    worst = each.worst
    if each.non_finite or worst is None:
        return each.non_finite, ""
    allowed = f"≤ {worst.high:+.2f}" if worst.low == -inf else f"{worst.low:+.2f} to {worst.high:+.2f}"
    what = f"step {worst.step}" if worst.step else "init"
    return f"{what}: {worst.fit.slope:+.2f} ±{worst.fit.half_width:.2f}", allowed


def _at(each: JudgedActivation, step: int) -> str:
    return next((f"{slope.fit.slope:+.2f}" for slope in each.slopes if slope.step == step), "-")


def _change(each: JudgedActivation) -> str:
    """The change's slope at the first step that has one: the linear response that the audit predicts."""
    return next((f"{slope.fit.slope:+.2f}" for slope in each.slopes if slope.step > 0), "-")


def predicted_change(activation: Activation) -> str:
    """The linear response, and where a usual learning rate caps it, from there."""
    linear, capped = activation.predicted_update, activation.predicted_capped
    if linear is None or capped is None or capped == linear:
        return _exponent(linear)
    return f"{_exponent(min(linear, capped))} to {_exponent(max(linear, capped))}"


def beyond_prediction(each: JudgedActivation) -> bool:
    """Whether the change at this learning rate lies outside of what is predicted for it."""
    linear, capped = each.activation.predicted_update, each.activation.predicted_capped
    found = next((slope.fit for slope in each.slopes if slope.step > 0), None)
    if linear is None or found is None:
        return False
    least, most = sorted((linear, linear if capped is None else capped))
    return found.high + FLAT_SLOPE < least or found.low - FLAT_SLOPE > most


def _exponent(number: float | None) -> str:
    return "-" if number is None else "−∞" if number == -inf else f"{number:+.2f}"
