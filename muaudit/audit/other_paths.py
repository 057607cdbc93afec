"""The paths besides the one that is audited: each is recorded, and what is wrong only there is reported."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..analysis import Analysis
from ..analysis.axis import Third
from ..analysis.paths import deviations, on_path, same
from ..errors import UserError
from ..findings.discrepancy import Discrepancy
from ..findings.model import Unanalysed
from ..targets.probe import Target
from ..targets.switched_paths import EVAL, Path, paths
from ..targets.usercode import attempt, seed_torch
from ..thresholds import MOST_PATHS
from ..trace.recorder import Recording, record


@dataclass(frozen=True)
class Elsewhere:
    """What other paths show that the first does not."""

    discrepancies: tuple[Discrepancy, ...] = ()
    unanalysed: tuple[Unanalysed, ...] = ()


def other_paths(known: Analysis, seed: int, readout_bound: float) -> Elsewhere:
    """Record every path that the models have besides the first, at both widths, and compare.

    A path that does not run (a missing kernel, an output that no longer exists) is none. One that runs the same
    operations with the same constants needs no second look. Nothing is trained and no gradient is taken.
    """
    target, models, scaling = known.target, known.models, known.scaling
    found: dict[tuple[Any, ...], Discrepancy] = {}
    unread: dict[tuple[Any, ...], Unanalysed] = {}
    noted = {value.note for value in scaling.ideal.unknown}
    plain = False  # eval mode changes nothing, so neither does it together with something else
    ran: set[str] = set()
    for path in list(paths(models[0], target.inputs(known.axis.sizes(target, 0))))[:MOST_PATHS]:
        if path.label in ran or (plain and path.label.startswith(EVAL)):
            continue
        taken = _recorded(known, dict(enumerate(models)), seed, path)
        ran |= {path.label} if taken is not None else set()
        if taken is None or all(same(a, b) for a, b in zip(known.recordings, taken, strict=True)):
            plain = plain or (taken is not None and path.label == EVAL)
            continue
        new, ideal = deviations(
            known,
            (taken[0], taken[1]),
            readout_bound,
            lambda path=path: _further(known, seed, path),  # type: ignore[misc]
        )
        for d in new:
            found.setdefault((d.aspect, d.role, d.tensors, d.file, d.line), on_path(d, path.label))
        for value in ideal.unknown:
            if value.note not in noted:
                place = Unanalysed(value.op.module or value.op.name, value.op.file, value.op.line,
                                   f"{value.note} ({path.label})", "MUP901")  # fmt: skip
                unread.setdefault((place.name, value.note), place)
    return Elsewhere(tuple(found.values()), tuple(unread.values()))


def _recorded(known: Analysis, models: Mapping[int, nn.Module], seed: int, path: Path) -> list[Recording] | None:
    """The path through these models, by the number of their probe; None where it does not run."""
    taken: list[Recording] = []
    target = known.target
    for probe, model in models.items():
        sizes = known.axis.sizes(target, probe)
        try:
            with attempt(), _silent(), path.enter(model, lambda sizes=sizes: target.build(sizes, seed)) as subject:  # type: ignore[misc]
                taken.append(_record(target, subject, sizes, seed, path))
        except Exception:  # the user's code, in a way that nobody may have run before
            return None
    return taken


def _further(known: Analysis, seed: int, path: Path) -> Third | None:
    """The path at a third probe, and the log of its size over the second's; None where it does not run there."""
    target, axis = known.target, known.axis
    try:
        model = target.build(axis.sizes(target, 2), seed)
    except UserError:
        return None
    taken = _recorded(known, {2: model}, seed, path)
    return (taken[0], math.log(axis.size(target, 2) / axis.size(target, 1))) if taken else None


def _record(target: Target, model: nn.Module, sizes: Mapping[str, int], seed: int, path: Path) -> Recording:
    inputs = target.inputs(sizes)
    called = path.inputs(inputs)

    def loss(output: Any) -> Any:
        try:
            return target.loss(output, called)
        except Exception:  # outputs of finite size are held to size 1 without a loss
            return None

    seed_torch(seed)
    return record(model, called.args, called.kwargs, loss, backward=False)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Models warn when an implementation is not there; on a path tried for comparison that is no news."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield
