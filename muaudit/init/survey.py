"""All candidates tried in parallel processes, and what of it is a target: models, not their parts or lone layers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from muaudit.init.libraries import shared_imports
from muaudit.init.trying import Found, Refused, outcomes_of
from muaudit.isolation import Done, LostTarget, NotBegun, Task, run_tasks
from muaudit.isolation import Outcome as Ended
from muaudit.isolation.task import AUDIT
from muaudit.targets.candidates import Candidate

Outcome = Found | Refused


@dataclass(frozen=True)
class Left:
    """Something that is no target of its own, and why."""

    text: str
    reason: str


@dataclass(frozen=True)
class Survey:
    """What a repository holds: targets by name, what was left out, and what could not be audited.

    untried: the files that there was no time for.
    """

    targets: dict[str, Found]
    left: tuple[Left, ...]
    refused: tuple[Refused, ...]
    untried: tuple[str, ...] = ()


def survey(
    folder: Path, found: Sequence[Candidate], seconds: int, processes: int | None = None,
    told: Callable[..., None] | None = None, budget: float | None = None,
) -> Survey:  # fmt: skip
    """Try every candidate and choose. processes: at most so many at a time; as many as there are cores if None.

    budget: seconds after which no further file is begun. told: called with the name of every file when it is begun, and
    with that and a class in it.
    """
    workers = min(len(found), processes or os.cpu_count() or 1)
    ended = _tried(str(folder), found, seconds, workers, told, budget)
    tried = [(each, end) for each, end in zip(found, ended, strict=True) if not isinstance(end, NotBegun)]
    untried = tuple(each.file for each, end in zip(found, ended, strict=True) if isinstance(end, NotBegun))
    return replace(chosen([out for each, end in tried for out in _outcomes(each, end)], folder), untried=untried)


def chosen(outcomes: Iterable[Outcome], folder: Path) -> Survey:
    """The targets among the outcomes: no part of another one, no layer, nothing that a spec already builds."""
    every = list(outcomes)
    ran = [each for each in every if isinstance(each, Found)]
    failed = [each for each in every if isinstance(each, Refused)]
    reasons = {each.text: _not_a_target(each, ran) for each in ran}
    reasons |= {each.text: _no_model(each, ran, folder) for each in failed}
    targets: dict[str, Found] = {}
    for each in ran:
        if not reasons[each.text]:
            targets[_name(each, targets, folder)] = each
    left = tuple(Left(text, reason) for text, reason in reasons.items() if reason)
    return Survey(targets, left, tuple(each for each in failed if not reasons[each.text]))


def _no_model(refused: Refused, ran: Sequence[Found], folder: Path) -> str:
    path, _, name = refused.text.partition(":")
    owner = next((each.text for each in ran if (str(folder / path), name) in each.parts), "")
    if owner:
        return f"a part of {owner}"
    return "takes nothing that looks like a width" if refused.no_model else ""


def _not_a_target(found: Found, every: Sequence[Found]) -> str:
    for other in every:
        if other is found or found.spec:
            continue
        if other.spec and other.model == found.model:
            return f"{other.text} builds it"
        if found.set and not other.set and other.model == found.model:
            return f"builds {other.text}"
        if found.model in other.parts and not (other.model in found.parts and other.text > found.text):
            return f"a part of {other.text}"
    return "a layer: its input is as wide as itself" if found.layer else ""


def _name(found: Found, taken: Iterable[str], folder: Path) -> str:
    """`local-transformer` for LocalTransformer, the file's name for a spec; never that of a file, which would win."""
    path, _, cls = found.text.partition(":")
    stem = Path(path).parent.name if path.endswith("config.json") else Path(path).stem
    plain = _kebab(cls or stem) or "model"
    options = (plain, f"{_kebab(stem)}-{plain}", f"{plain}-model", *(f"{plain}-{number}" for number in range(2, 999)))
    return next(name for name in options if name not in taken and not (folder / name).exists())


def _kebab(name: str) -> str:
    """`simple-vit` for SimpleViT."""
    spaced = re.sub(r"(?<=[A-Za-z][a-z0-9]{2})(?=[A-Z])|(?<=[A-Z]{2})(?=[A-Z][a-z])", "-", name)
    return re.sub(r"[^a-z0-9]+", "-", spaced.lower()).strip("-")


def _tried(
    folder: str, found: Sequence[Candidate], seconds: int, workers: int, told: Callable[..., None] | None,
    budget: float | None,
) -> list[Ended]:  # fmt: skip
    """In order, a process each: a candidate that ends or hangs its process is told, and the rest goes on."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    preload = (*AUDIT, *shared_imports(Path(folder), found))
    tasks = [Task(each.file, "muaudit.init.trying:attempted", (folder, each), preload, silent=True) for each in found]
    return run_tasks(tasks, workers=workers, patience=seconds, progress=told, within=budget)


def _outcomes(candidate: Candidate, ended: Ended) -> list[Outcome]:
    if isinstance(ended, Done):
        return outcomes_of(ended.data)
    what = ended.what if isinstance(ended, LostTarget) else str(ended)
    return [Refused(candidate.file, "; ".join(what.splitlines()))]
