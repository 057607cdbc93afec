"""Specs by functions: `build(width)`, and optionally batch, loss, optimizer, scheduler and widths."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from muaudit.errors import UserError
from muaudit.targets import argnames, batch_stream
from muaudit.targets.deeper import given_depths, is_depth
from muaudit.targets.draft import finish
from muaudit.targets.initialization import of_module
from muaudit.targets.loader import near
from muaudit.targets.options import MAIN_AXIS, TargetOptions, check_widths
from muaudit.targets.probe import Target, WidthAxis
from muaudit.targets.trial import Draft, Sizes, Variant
from muaudit.targets.widths import PROBES

_NO_WIDTHS = (argnames.DEPTH, argnames.VOCAB, argnames.LENGTH, argnames.HEADS)
_FUNCTIONS = ("batch", "batches", "held_out", "loss", "optimizer", "scheduler")
_EXAMPLE = "the file may look like this:\n  def build(width):\n      return MyModel(width)"


@dataclass(frozen=True)
class Spec:
    """The functions of a spec; `where` is the file for messages, `called` the name of the build function.

    written: `build` was written to be audited; any other function may leave the initialization to its callers.
    """

    build: Callable[..., Any]
    where: str
    called: str = "build"
    batch: Callable[..., Any] | None = None
    batches: Callable[..., Any] | None = None
    loss: Callable[..., Any] | None = None
    optimizer: Callable[..., Any] | None = None
    scheduler: Callable[..., Any] | None = None
    widths: Any = None
    path: Path | None = None
    init: Callable[..., Any] | None = None
    written: bool = True
    depths: Any = None
    held_out: Callable[..., Any] | None = None


def target_from_module(module: ModuleType, options: TargetOptions, path: Path | None, build: str = "build") -> Target:
    """The target of a file that defines a build function. Raises UserError where the spec is malformed."""
    where = path.name if path else module.__name__
    functions = {name: getattr(module, name, None) for name in _FUNCTIONS}
    functions["batches"] = batch_stream.as_function(functions["batches"])
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise UserError(f"{where}: {name} is of type {type(function).__name__}, expected a function", _EXAMPLE)
    widths = getattr(module, "widths", None)
    spec = Spec(
        getattr(module, build), where, build, widths=widths, path=path, written=build == "build",
        init=of_module(module), depths=getattr(module, "depths", None), **functions,
    )  # fmt: skip
    return target_from_spec(spec, options)


def target_from_functions(
    build: Callable[..., Any], batch: Callable[..., Any] | None, loss: Callable[..., Any] | None,
    optimizer: Callable[..., Any] | str | None, widths: Sequence[int] | Mapping[str, Sequence[int]] | None,
    name: str | None, options: TargetOptions, scheduler: Callable[..., Any] | None = None,
    batches: Callable[..., Any] | None = None, init: Callable[..., Any] | None = None,
    depths: Sequence[int] | Mapping[str, Sequence[int]] | None = None, held_out: Callable[..., Any] | None = None,
) -> Target:  # fmt: skip
    """The target behind `muaudit.targets.from_functions`."""
    if isinstance(optimizer, str):
        options = dataclasses.replace(options, optimizer=optimizer)
        optimizer = None
    called = getattr(build, "__name__", type(build).__name__)
    code = getattr(build, "__code__", None)
    path = Path(code.co_filename) if code is not None and Path(code.co_filename).is_file() else None
    where = name or called
    return target_from_spec(
        Spec(
            build,
            where,
            called,
            batch,
            batch_stream.as_function(batches),
            loss,
            optimizer,
            scheduler,
            widths,
            path,
            init,
            depths=depths,
            held_out=held_out,
        ),
        options,
    )


def target_from_spec(spec: Spec, options: TargetOptions) -> Target:
    """Check a spec and drive it."""
    if not callable(spec.build):
        raise UserError(
            f"{spec.where}: {spec.called} is of type {type(spec.build).__name__}, expected a function", _EXAMPLE
        )
    names, others = _width_arguments(spec, options)
    if names and spec.widths is not None:
        _declared(spec, names)
    label = spec.where if spec.where == spec.called else f"{spec.where}:{spec.called}"
    draft = Draft(
        label=f"{label}({', '.join(names)})",
        call=f"{spec.called}(width)",
        variants=_variants(spec, names, options),
        batch=batch_stream.first_of(spec.batch, spec.batches),
        batches=spec.batches,
        held_out=spec.held_out,
        loss=spec.loss,
        optimizer=spec.optimizer,
        scheduler=spec.scheduler,
        path=spec.path,
        defined=spec.build,
        init=spec.init,
        spec=spec.written,
        notes=(f"held at the default: {', '.join(others)}",) if others else (),
    )
    return finish(draft, options)


def _variants(spec: Spec, names: list[str], options: TargetOptions) -> Iterator[Variant]:
    given = {name: options.widths.get(name) or options.widths.get(MAIN_AXIS) for name in names}
    declared = _declared(spec, names) if spec.widths is not None else {}
    settled = all(given[name] or declared.get(name) for name in names)
    depths = _depths(spec, names, options)
    for probes in PROBES[:1] if settled else PROBES:
        axes = tuple(WidthAxis(name, given[name] or declared.get(name) or probes) for name in names)
        yield Variant(axes, lambda sizes: _call_build(spec, sizes, names, options), depths=depths)


def _call_build(spec: Spec, sizes: Sizes, names: list[str], options: TargetOptions) -> Any:
    settings = dict(options.set) | {name: size for name, size in sizes.items() if name not in names}
    if len(names) == 1 and _positional(spec.build, names[0]):
        return spec.build(sizes[names[0]], **settings)
    return spec.build(**{name: sizes[name] for name in names}, **settings)


def _depths(spec: Spec, names: list[str], options: TargetOptions) -> tuple[WidthAxis, ...]:
    """The arguments of build that are numbers of blocks, at the probes of the user, of the spec, or at 2 and 4."""
    own = {} if spec.depths is None else _sizes_by_name(spec, spec.depths, "depths", "2,4")
    try:
        parameters = inspect.signature(spec.build).parameters
    except (TypeError, ValueError):
        return ()
    asked = [name for name in (*options.depths, *own) if name != MAIN_AXIS]
    for name in asked:
        if name not in parameters:
            raise UserError(f"{spec.where}: {spec.called} has no argument {name!r}, which is to grow",
                            near(name, list(parameters), "its arguments"))  # fmt: skip
    chosen = asked or [name for name in parameters if is_depth(name) and name not in names]
    found = []
    for name in dict.fromkeys(chosen):
        default = options.set.get(name, parameters[name].default)
        probes = given_depths(options, name) or own.get(name) or own.get(MAIN_AXIS) or (2, 4)
        found.append(WidthAxis(name, probes, default if type(default) is int else None))
    return tuple(found)


def _width_arguments(spec: Spec, options: TargetOptions) -> tuple[list[str], list[str]]:
    """The arguments of build that are widths, and those that are left at their defaults."""
    try:
        parameters = list(inspect.signature(spec.build).parameters.values())
    except (TypeError, ValueError):
        return ["width"], []
    single = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    plain = [each for each in parameters if each.kind not in single]
    named = [name for name in options.widths if name != MAIN_AXIS]
    if not named and isinstance(spec.widths, Mapping):
        named = [each.name for each in plain if each.name in spec.widths]
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    for name in (*named, *options.set):
        if name not in [each.name for each in plain] and not open_ended:
            raise UserError(f"{spec.where}: {spec.called} has no argument {name!r}",
                            near(name, [each.name for each in plain], "its arguments"))  # fmt: skip
    required = [each.name for each in plain if each.default is each.empty and each.name not in options.set]
    first = _first([each.name for each in plain if each.name not in options.set])
    widths = list(dict.fromkeys([*(required or ([] if named else first)), *named]))
    if not widths:
        raise UserError(f"{spec.where}: {spec.called}() takes no width, expected {spec.called}(width)", _EXAMPLE)
    return widths, [each.name for each in plain if each.name not in widths and each.name not in options.set]


def _first(names: Sequence[str]) -> list[str]:
    """Of arguments that have defaults the first, unless it is called like another size and a later one like a width."""
    if names and any(argnames.rank(names[0], others) is not None for others in _NO_WIDTHS):
        names = [name for name in names if argnames.rank(name, argnames.WIDTH) is not None] or names
    return list(names[:1])


def _declared(spec: Spec, names: list[str]) -> dict[str, tuple[int, ...]]:
    """The spec's own `widths`: for all width arguments alike, or a dict by name."""
    found = _sizes_by_name(spec, spec.widths, "widths", "64,128")
    common = found.get(MAIN_AXIS)
    return {name: sizes for name in names if (sizes := found.get(name, common)) is not None}


def _sizes_by_name(spec: Spec, given: Any, called: str, example: str) -> dict[str, tuple[int, ...]]:
    """What a spec says of sizes to probe: by the name of the argument, `MAIN_AXIS` for all of them alike."""
    if isinstance(given, Mapping):
        arguments = list(inspect.signature(spec.build).parameters)
        unknown = [name for name in given if name not in arguments]
        if unknown:
            raise UserError(f"{spec.where}: {called} names {unknown[0]!r}, which is no argument of {spec.called}",
                            near(str(unknown[0]), arguments, "its arguments"))  # fmt: skip
        return {str(name): check_widths(sizes, f"{spec.where}: {called}[{name!r}]", example)
                for name, sizes in given.items()}  # fmt: skip
    if isinstance(given, str) or not isinstance(given, Sequence | range | set):
        raise UserError(f"{spec.where}: {called} is {given!r}, expected at least two whole numbers",
                        f"for example {called} = ({example.replace(',', ', ')})")  # fmt: skip
    return {MAIN_AXIS: check_widths(given, f"{spec.where}: {called}", example)}


def _positional(function: Callable[..., Any], name: str) -> bool:
    try:
        parameter = next(iter(inspect.signature(function).parameters.values()), None)
    except (TypeError, ValueError):
        return True
    return parameter is not None and parameter.name == name and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
