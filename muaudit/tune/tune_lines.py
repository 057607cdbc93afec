"""The answer of a search in words: the finalists, whether they are told apart, and whether longer runs choose alike."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..report.layout import BOLD, DIM, GOOD, WARNING, Line, columns, line, next_line
from ..sweep.knobs import KNOBS
from ..sweep.ranges import shown
from ..sweep.sweep_words import SURE
from .ranking import Finalist
from .sample import Sample
from .tune_task import Tuned

SCHEMA = "muaudit.tune/1"
_SET = {"init": "init_scale"}
"""What `transfer --set` calls them."""


def tune_lines(tuned: Tuned) -> Iterator[Line]:
    """The report for people."""
    yield line((tuned.describe, BOLD), hang=2)
    yield line(tuned.setup, hang=2)
    for notice in tuned.notices:
        yield line((f"note: {notice}", WARNING), hang=2)
    finalists = tuned.ranking.finalists
    diverged = sum(math.isinf(loss) for _, loss in tuned.ranking.samples)
    yield line(f"{len(tuned.ranking.samples)} samples run, {diverged} of them diverged", hang=2)
    yield line()
    if not finalists:
        yield line(("undecided: no finalist was run", WARNING))
        yield line()
        yield line((f"results: {tuned.results} · the same command goes on where it was stopped", DIM), hang=2)
        yield next_line(_without(tuned))
        return
    best = finalists[0]
    yield line((f"best: {_named(best.sample)}", GOOD), hang=2)
    if schedules := tuned.ranking.by_schedule:
        each = ", ".join(f"{name} {f'{loss:.4g}' if math.isfinite(loss) else 'diverged'}" for name, loss in schedules)
        yield line(f"the best sample of each schedule, by the first seed: {each}", indent=2, hang=2)
    ties = [each for each in finalists[1:] if each.tied]
    if ties:
        count = f"{len(ties)} other{'s are' if len(ties) > 1 else ' is'}"
        yield line(f"a tie: {count} not told from it by {len(best.losses)} seeds", indent=2, hang=2)
    yield from columns([_head(best, tuned), *(_row(each, tuned) for each in finalists)], indent=2)
    if tuned.longer_steps:
        yield line(_longer(tuned, best), indent=2, hang=2)
    if tuned.share is not None:
        share = f"{100 * tuned.share:.2g} % of the target's training"
        yield line(f"the search took {share}, by parameters times steps", indent=2, hang=2)
    yield line()
    if tuned.plan:
        yield line(
            f"wrote {tuned.plan}: {_named(replace(best.sample, schedule=''))} beside the scales of width", hang=2
        )
    if best.sample.schedule and not tuned.script:
        where = "the plan has it as a note" if tuned.plan else "nothing carries it along"
        yield line(f"the schedule, {best.sample.schedule}, is set in the training script: {where}", hang=2)
    yield line((f"results: {tuned.results} · the same command goes on where it was stopped", DIM), hang=2)
    yield next_line(_next(tuned, best))


def to_json(tuned: Tuned) -> str:
    """The report as JSON; a loss is null where the run diverged."""
    data = {
        "schema": SCHEMA, "target": tuned.describe, "setup": tuned.setup, "width": tuned.width,
        **({} if tuned.depth is None else {"depth": tuned.depth}), "steps": tuned.steps,
        "longer_steps": tuned.longer_steps or None, "results": tuned.results, "notices": list(tuned.notices),
        "share_of_target": tuned.share, "plan": tuned.plan or None,
        "samples": [{**sample.all, "loss": _finite(loss)} for sample, loss in tuned.ranking.samples],
        "finalists": [_finalist(each) for each in tuned.ranking.finalists],
    }  # fmt: skip
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _finalist(each: Finalist) -> dict[str, Any]:
    above = each.long_above
    return {
        "values": each.sample.all, "loss": _finite(each.loss), "losses": [_finite(loss) for loss in each.losses],
        "above": _finite(each.above.value), "above_low": _finite(each.above.low),
        "above_high": _finite(each.above.high),
        "tied": each.tied, "longer_loss": None if each.long is None else _finite(each.long),
        "longer_above": None if above is None else _finite(above.value),
    }  # fmt: skip


def _without(tuned: Tuned) -> str:
    """What to do where there is no best sample."""
    if tuned.ranking.samples and all(math.isinf(loss) for _, loss in tuned.ranking.samples):
        return "every sample diverged: --lr LOW..HIGH with lower rates"
    return "the same command runs what is missing"


def _next(tuned: Tuned, best: Finalist) -> str:
    """What shows that it transfers, and what carries it over."""
    under = f" --schedule {best.sample.schedule}" if best.sample.schedule else ""
    if tuned.plan:
        return (
            f"muaudit sweep --plan {tuned.plan}{under} shows whether it transfers, "
            f"muaudit transfer --plan {tuned.plan} {_between(tuned)} prints it at another size"
        )
    if tuned.script:
        return "muaudit sweep --command ... shows whether the learning rate transfers, once the script follows a plan"
    lr = best.sample.hp["lr"]
    if any(KNOBS[name].where == "rate" for name in best.sample.hp):
        return "the same command with --plan FILE writes it beside the scales of width, which sweep and transfer take"
    given = ",".join(f"{_SET.get(name, name)}={value:.3g}" for name, value in best.sample.values)
    return (
        f"muaudit sweep --convert --base-width {tuned.width} --lr {lr / 8:.3g}..{lr * 8:.3g}{under} shows whether the "
        f"learning rate transfers, muaudit transfer {_between(tuned)} --set {given} carries all of it over"
    )


def _between(tuned: Tuned) -> str:
    """The flags of `transfer`."""
    if tuned.depth is None:
        return f"--from {tuned.width} --to N"
    return f"--from width={tuned.width},depth={tuned.depth} --to width=N,depth=L"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _named(sample: Sample) -> str:
    return ", ".join(f"{name} {text}" for name, text in _texts(sample).items())


def _texts(sample: Sample) -> dict[str, str]:
    return {name: value if isinstance(value, str) else shown(value) for name, value in sample.all.items()}


def _head(best: Finalist, tuned: Tuned) -> list[str]:
    longer = [f"{tuned.longer_steps} steps"] if tuned.longer_steps else []
    return [*best.sample.all, "loss", f"above the best ({SURE})", *longer]


def _row(each: Finalist, tuned: Tuned) -> list[str]:
    above = each.above
    between = (
        "best" if above.value == 0 else f"{100 * above.value:.2g} % ({100 * above.low:.2g} to {100 * above.high:.2g})"
    )
    if not math.isfinite(above.low):
        between = "diverges" if math.isinf(above.value) else f"{100 * above.value:.2g} %"
    longer = ["-" if each.long is None else f"{each.long:.4g}"] if tuned.longer_steps else []
    return [*_texts(each.sample).values(), f"{each.loss:.4g}", between, *longer]


def _longer(tuned: Tuned, best: Finalist) -> str:
    """Whether the short run's best is the longer one's, and what it costs there."""
    other, above = tuned.ranking.best_of_long, best.long_above
    if other is None or above is None:
        return f"with {tuned.longer_steps} steps: not known"
    if other.sample == best.sample:
        return f"with {tuned.longer_steps} steps the same one is best"
    told = "which seeds do not tell from the best there" if above.low <= 0 else "and is worse there for sure"
    return (
        f"with {tuned.longer_steps} steps {_named(other.sample)} is best; the short runs' choice costs "
        f"{100 * above.value:.2g} %, {told}"
    )
