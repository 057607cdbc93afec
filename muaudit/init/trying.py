"""Trying a candidate in a child: resolved, its widths pinned, audited as the configuration will have it audited."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from muaudit.errors import AmbiguousModelError, MissingValuesError, NoWidthError, UserError
from muaudit.init.model_functions import factories
from muaudit.isolation.child import tell_now
from muaudit.isolation.plain_data import plain, rebuilt
from muaudit.targets import loader, resolve
from muaudit.targets.candidates import Candidate
from muaudit.targets.discover import find_root
from muaudit.targets.options import TargetOptions
from muaudit.targets.source import file_of

if TYPE_CHECKING:
    from torch import nn

    from muaudit.targets import Target

Class = tuple[str, str]
"""A class by its file and its qualified name."""
_MOST = 8  # classes of one file that are tried where several may be the model
_SECONDS = 40.0
"""Of processor for one file: what it holds beyond that is named and not tried."""


@dataclass(frozen=True)
class Found:
    """A target whose audit went through.

    text: TARGET from the folder. widths: what it was probed at, empty where pinning them did not work.
    set, inputs: of a function: arguments without a default, and what its model is called with.
    parts: the classes of its submodules. layer: its input is as wide as itself, as that of a layer is.
    """

    text: str
    describe: str
    optimizer: str
    widths: Mapping[str, tuple[int, ...]]
    verdict: str
    errors: int
    unanalysed: int
    model: Class
    parts: frozenset[Class] = frozenset()
    layer: bool = False
    spec: bool = False
    set: Mapping[str, object] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A candidate that could not be audited, and what it needs.

    values: the arguments that want a value. module: what is not installed. no_model: it takes no width.
    """

    text: str
    message: str
    values: tuple[str, ...] = ()
    module: str = ""
    no_model: bool = False


def attempted(folder: str, candidate: Candidate) -> Any:
    """`attempt`, as plain data."""
    return [plain(each) for each in attempt(folder, candidate)]


def outcomes_of(data: Any) -> list[Found | Refused]:
    """What `attempted` returned. Raises ValueError for anything else."""
    return [rebuilt(Found, each) if "model" in each else rebuilt(Refused, each) for each in data]


def attempt(folder: str, candidate: Candidate) -> list[Found | Refused]:
    """Everything that one file has to audit. Changes the working directory of the process: meant for a child."""
    os.chdir(folder)
    tell_now(candidate.file)
    warnings.simplefilter("ignore")
    try:
        return _outcomes(candidate.file)
    except Exception as error:
        return [_refused(candidate.file, error)]


def _refused(text: str, error: Exception) -> Refused:
    if not isinstance(error, UserError):
        return Refused(text, f"{type(error).__name__}: {error}")
    missing = error.__cause__ if isinstance(error.__cause__, ModuleNotFoundError) else None
    return Refused(
        text,
        str(error),
        values=error.names if isinstance(error, MissingValuesError) else (),
        module=(missing.name or "") if missing else "",
        no_model=isinstance(error, NoWidthError),
    )


def _outcomes(file: str) -> list[Found | Refused]:
    """A spec or a config as it is; else the file's model, or all that may be it, and the functions that build one."""
    if file.endswith(".json"):
        return [_one(file)]

    module = loader.load_file(Path(file))
    if hasattr(module, "build"):
        return [_one(file)]
    roots, end = _roots(module, file), time.process_time() + _SECONDS
    classes = [_one_in_time(file, name, end) for name in roots]
    functions = ((name, options) for name, options in factories(module) if name not in roots)
    built = [_one(f"{file}:{name}", options) for name, options in functions if time.process_time() < end]
    # Many a helper takes a width and builds no model: only what works counts.
    return [*classes, *(each for each in built if isinstance(each, Found))]


def _roots(module: ModuleType, file: str) -> list[str]:
    try:
        return [find_root(module, file)[0].__name__]
    except AmbiguousModelError as error:
        return list(error.names[:_MOST])


def _one_in_time(file: str, name: str, end: float) -> Found | Refused:
    """A class, unless those before it in its file have taken long: one file is not to hold up all others."""
    text = f"{file}:{name}"
    if time.process_time() < end:
        tell_now(file, name)
        return _one(text)
    return Refused(text, f"not tried, as its file has taken {_SECONDS:.0f} s already: muaudit check {text} looks at it")


def _one(text: str, options: TargetOptions | None = None) -> Found | Refused:
    try:
        return _tried(text, options or TargetOptions())
    except Exception as error:
        return _refused(text, error)


def _tried(text: str, options: TargetOptions) -> Found:
    from muaudit.audit import audit

    target, widths = resolve(text, options), dict(options.widths)
    with contextlib.suppress(UserError):
        pinned = {axis.name: axis.probes[:2] for axis in target.axes}
        target, widths = resolve(text, replace(options, widths=pinned)), pinned
    report = audit(target)
    model = target.build(target.sizes(0), 0)
    spec = ":" not in text
    return Found(
        text=text, describe=target.describe, optimizer=f"{report.optimizer} ({report.optimizer_source})", widths=widths,
        verdict=report.verdict, errors=report.count("error"), unanalysed=len(report.unanalysed),
        model=_class(type(model)), parts=frozenset(_parts(model)), layer=not spec and _follows_width(target), spec=spec,
        set=options.set, inputs=tuple(str(each) for each in options.inputs.values()),
    )  # fmt: skip


def _parts(model: nn.Module) -> Iterator[Class]:
    return (_class(type(module)) for module in model.modules() if module is not model)


def _class(cls: type) -> Class:
    return file_of(cls) or cls.__module__, cls.__qualname__


def _follows_width(target: Target) -> bool:
    """Whether the shapes of the input grow with the width."""
    narrow, wide = (_shapes(target, probe) for probe in (0, 1))
    return narrow != wide


def _shapes(target: Target, probe: int) -> list[Any]:
    made = target.inputs(target.sizes(probe))
    return [getattr(each, "shape", None) for each in (*made.args, *made.kwargs.values())]
