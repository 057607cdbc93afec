"""Zero configuration: a model class, driven by what its constructor's arguments are called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from muaudit.errors import NoWidthError, UserError
from muaudit.targets import argnames, arguments, assertions, refusals, small, suggested_specs
from muaudit.targets.arguments import Arguments, Leaf
from muaudit.targets.assertions import AssertedError, answered, calculated
from muaudit.targets.deeper import depth_axes, of_depths
from muaudit.targets.depth import covered, shows_all
from muaudit.targets.draft import finish
from muaudit.targets.held import held_fixed
from muaudit.targets.initialization import of_module
from muaudit.targets.module_globals import with_globals
from muaudit.targets.options import TargetOptions
from muaudit.targets.probe import Target
from muaudit.targets.reach import held
from muaudit.targets.slots import Hints
from muaudit.targets.trial import Draft, Sizes, Variant
from muaudit.targets.tuned import longest, tuned
from muaudit.targets.usercode import RaisedError
from muaudit.targets.widths import WidthPlan, plans

_HELD = 250_000_000
"""Numbers that a model may hold which is tried after a smaller one was refused: 1 GB, and twice for two widths."""


def target_from_class(
    cls: Callable[..., Any], module: ModuleType, options: TargetOptions, path: Path | None, note: str = "",
    config: Any = None, method: str = "", every: bool = False, spared: bool = True,
) -> Target:  # fmt: skip
    """The target of a model class, or of a function that builds a model.

    config: the config class or object the user named, if any. method: what its forward was before, if not that.
    every: sizes that may be left out are given, too. spared: configs that are None by default stay None.
    """
    called = f"{cls.__name__}.{method}" if method else cls.__name__
    read = with_globals(arguments.read(cls, module, config, spared), module, cls)
    without = replace(read, knobs=small.with_sizes(read.knobs))
    read, left_out = (without, False) if every else (read, without.knobs != read.knobs)
    label = f"{called}({read.config})" if read.config else called
    try:
        given = list(plans(read.knobs, options, called, read.construct, module.__file__))
    except NoWidthError as error:
        if left_out:
            with suppress(UserError):
                return target_from_class(cls, module, options, path, note, config, method, every=True)
        if error.hint:
            raise
        spec = suggested_specs.without_width(read, module)
        hint = f"paste this into the file, and fill in what says so:\n\n{spec}\n"
        raise NoWidthError(error.message, hint) from error
    missing = small.unguessable(read.knobs, given[0].values({}))
    if missing:
        build = suggested_specs.construction(read, given[0], missing)
        lines = [suggested_specs.open_line(name) for name in missing]
        spec = suggested_specs.spec(build, suggested_specs.imports(build, module), before=lines)
        raise small.missing_values(missing, called, spec)
    batch, loss = _partial_spec(module)
    call = suggested_specs.construction(read, given[0])
    draft = Draft(
        label=label, call=call, imports=tuple(suggested_specs.imports(call, module)),
        variants=_variants(read, given, options), path=path, batch=batch, loss=loss, init=of_module(module),
        notes=(note,) if note else (), defined=inspect.unwrap(cls),
        guessed=frozenset(_guessed_words(read, given[0], options).values()),
    )  # fmt: skip
    try:
        return finish(draft, options)
    except RaisedError as error:
        if isinstance(error, AssertedError):
            left, said = _as_asserted(error, options, read.knobs)
            if left:
                said = f"{note}; {said}" if note else said
                more = replace(options, set={**options.set, **left})
                return target_from_class(cls, module, more, path, said, config, method)
        if again := _as_refused(error, read, given[0], options):
            more = replace(options, set={**options.set, **again})
            shown = ", ".join(f"{name}={getattr(value, '__name__', repr(value))}" for name, value in again.items())
            said = f"as the code asks for it: {shown}; --set NAME=VALUE says otherwise"
            with suppress(UserError):
                return target_from_class(cls, module, more, path, f"{note}; {said}" if note else said, config, method,
                                         every, spared)  # fmt: skip
        if spared and error.message.startswith("building ") and refusals.needs_config(error.__cause__):
            with suppress(UserError):
                return target_from_class(cls, module, options, path, note, config, method, every, spared=False)
        if left_out and error.message.startswith("building "):
            with suppress(UserError):
                return target_from_class(cls, module, options, path, note, config, method, every=True)
        if isinstance(error, AssertedError):
            raise
        if error.message.startswith("building ") and not error.hint and not isinstance(error.__cause__, ImportError):
            error.hint = _as_far_as_built(error.__cause__, read, given[0], module)
        if given[0].assumed:
            values = given[0].values({})
            raise small.not_as_assumed(error, {name: values[name] for name in given[0].assumed}) from error
        raise


def _as_far_as_built(error: BaseException | None, read: Arguments, plan: WidthPlan, module: ModuleType) -> str:
    """The spec of a model whose constructor raised, with all that it was given, and what is to be filled in."""
    small_values, raised = plan.values({}), type(error).__name__
    free = {name: leaf for name, leaf in read.knobs.items() if name not in {axis.name for axis in plan.axes}}
    blamed = assertions.read_where_raised(error, free)
    for likelier in (small_values, plan.assumed):
        blamed = [name for name in blamed if name in likelier] or blamed
    shown = {name: repr(small_values.get(name, read.knobs[name].value)) for name in blamed}
    marked = blamed if len(blamed) == 1 and not shown[blamed[0]].startswith("<") else []
    lines = [suggested_specs.open_line(name, shown[name], f": with this it raises {raised}") for name in marked]
    build = suggested_specs.construction(read, plan, marked)
    imports = suggested_specs.imports(build, module)
    if not marked:
        which = f"another {' or '.join(blamed[:3])}: " if blamed else ""
        build = f"{build}  # {suggested_specs.FILL_IN} {which}with these it raises {raised}"
    spec = suggested_specs.spec(build, imports, before=lines)
    return f"paste this into the file, and fill in the line that says so:\n\n{spec}\n"


def _as_asserted(
    error: AssertedError, options: TargetOptions, knobs: Mapping[str, Leaf]
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """The arguments that an assertion wants left out, or else given, and what to say about it."""
    left: dict[str, Any] = {name: None for name in error.without if name not in options.set}
    said = f"{', '.join(left)} left out as None, as the constructor asserts; --set NAME=VALUE says otherwise"
    if not left:
        short = {name: _guessed(name.rpartition(".")[2], knobs[name]) for name in error.wanted
                 if name not in options.set}  # fmt: skip
        left = {name: value for name, value in short.items() if value is not None}
        left = left or {name: value for name, value in error.holding.items() if name not in options.set}
        shown = ", ".join(f"{name}={value!r}" for name, value in left.items())
        said = f"guessed, as the constructor asks for it: {shown}; --set NAME=VALUE says otherwise"
    return left, said


def _guessed_words(read: Arguments, plan: WidthPlan, options: TargetOptions) -> dict[str, str]:
    """The texts that arguments without a default were given."""
    return {name: value for name, value in plan.values({}).items() if isinstance(value, str)
            and name not in options.set and read.knobs[name].value is arguments.MISSING}  # fmt: skip


def _as_refused(error: RaisedError, read: Arguments, plan: WidthPlan, options: TargetOptions) -> dict[str, Any]:
    """Other values for arguments that were refused: a word that the code knows, a size that is not negative."""
    cause, found = error.__cause__, refusals.negative_sizes(error.__cause__, read.knobs)
    told = error.words or (refusals.words(cause) if cause is not None else ())
    guessed = _guessed_words(read, plan, options)
    found |= refusals.called_words(cause, guessed) | refusals.as_large(cause or error, read.knobs, plan.values({}))
    for text, known in told:
        found |= {name: known[0] for name, word in guessed.items() if word == text}
    return {name: value for name, value in found.items() if name not in options.set}


def _guessed(name: str, leaf: Leaf) -> Any:
    """A value for an argument that is None by default and has to be given: by its name, else a small number."""
    known = argnames.guess(name)
    return known if known is not None else small.assumed(name, leaf)


def _variants(read: Arguments, given: list[WidthPlan], options: TargetOptions) -> Iterator[Variant]:
    for at, each in enumerate(given):
        if at and held(read.construct, each.values({each.axes[0].name: each.axes[0].probes[1]})) > _HELD:
            continue  # what the first does not bring, no memory full of caches will
        images = _own_images(read, each, options.set)
        if images and not shows_all(each, images, read.construct):
            continue  # the next plan leaves the image as it is
        found = covered(each, read.knobs, options.set, read.construct)
        plan = found.plan
        depths = depth_axes(read.knobs, plan.fixed, options, read.root.name)
        cut = _cut(read, plan, options.set)
        yield Variant(
            plan.axes, _build(read, plan), _notes(read, plan, cut), _hints(read, plan), cut,
            found.missing, depths, tuned(_defaults(read) | plan.values({})),
            longest({**_defaults(read), **options.set}), call=suggested_specs.construction(read, plan),
        )  # fmt: skip


def _notes(read: Arguments, plan: WidthPlan, cut: Mapping[str, Any]) -> tuple[str, ...]:
    return (*plan.notes, *filter(None, (held_fixed(read.knobs, plan, cut),)))


def _own_images(read: Arguments, plan: WidthPlan, given: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of images that the plan makes smaller, as the model has them."""
    own = {name: leaf.value for name, leaf in read.knobs.items() if name in plan.fixed and name not in given}
    return {name: value for name, value in own.items()
            if argnames.rank(name.rpartition(".")[2], argnames.IMAGE) is not None and value is not arguments.MISSING
            and value != plan.fixed[name]}  # fmt: skip


def _cut(read: Arguments, plan: WidthPlan, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that were made smaller, not by the user, with the model's own values."""
    kept = {name: leaf.value for name, leaf in read.knobs.items() if name in plan.fixed and name not in given}
    sizes = {name: own for name, own in kept.items() if isinstance(own, (int, list, tuple)) and type(own) is not bool}
    return {name: own for name, own in sizes.items() if _larger(own, plan.fixed[name])}


def _defaults(read: Arguments) -> dict[str, Any]:
    return {name: leaf.value for name, leaf in read.knobs.items()}


def _larger(own: Any, used: Any) -> bool:
    if isinstance(own, (list, tuple)):
        return isinstance(used, (list, tuple)) and sum(own) > sum(used)
    return isinstance(used, int) and own > used


def _build(read: Arguments, plan: WidthPlan) -> Callable[[Sizes], Any]:
    widths = {axis.name for axis in plan.axes}

    def build(sizes: Sizes) -> Any:
        others = {name: size for name, size in sizes.items() if name not in widths}
        values = plan.values(sizes) | of_depths(read.knobs, others)  # a setting of the init is taken as it is
        try:
            return read.construct(values)
        except AssertionError as error:
            free = [name for name, leaf in read.knobs.items() if leaf.value is arguments.MISSING and name not in widths]
            raise answered(error, f"building {read.root.name}", read.knobs, values, free) from error
        except TypeError as error:
            asserted = calculated(error, f"building {read.root.name}", read.knobs, values)
            if asserted is None:
                raise
            raise asserted from error

    return build


def _hints(read: Arguments, plan: WidthPlan) -> Hints:
    """Length and image size of the input, from the arguments that bound them."""
    values = _defaults(read) | plan.values({})
    values = {name.rpartition(".")[2]: value for name, value in values.items()}

    def find(table: tuple[str, ...]) -> int | None:
        found = [value[0] if isinstance(value, (tuple, list)) and value else value
                 for name, value in values.items() if argnames.rank(name, table) is not None]  # fmt: skip
        sizes = [value for value in found if type(value) is int]
        return min(sizes) if sizes else None

    length = find(argnames.LENGTH)
    return Hints(min(32, length) if length and length > 0 else 32, find(argnames.IMAGE), values)


def _partial_spec(module: ModuleType) -> tuple[Callable[..., Any] | None, Callable[..., Any] | None]:
    """A `batch(width)`, and a `loss(output, batch)` with it, in a file that has no build."""
    batch, loss = getattr(module, "batch", None), getattr(module, "loss", None)
    if not _has_arguments(batch, ("width",)):
        return None, None
    return batch, loss if _has_arguments(loss, ("output", "batch")) else None


def _has_arguments(function: Any, expected: tuple[str, ...]) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and code.co_varnames[: code.co_argcount] == expected
