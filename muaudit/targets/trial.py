"""Trying a draft: build it at two widths and run it, until one way of probing it works."""

from __future__ import annotations

import gc
import inspect
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from traceback import clear_frames
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from muaudit.errors import UserError
from muaudit.targets import (
    batch_stream,
    devices,
    initialization,
    losses,
    refusals,
    sound,
    stepwise,
    suggested_specs,
)
from muaudit.targets import inputs as input_forms
from muaudit.targets.literals import advice
from muaudit.targets.memory import forward_only, give_back
from muaudit.targets.options import TargetOptions
from muaudit.targets.own_width import own_width_alone
from muaudit.targets.probe import Inputs, WidthAxis
from muaudit.targets.readers import running
from muaudit.targets.slots import Hints
from muaudit.targets.unfilled import filled
from muaudit.targets.usercode import RaisedError, attempt, guarded, quiet, seed_everything, seeded, user_error

Sizes = Mapping[str, int]

_OUT_OF_RANGE = "index out of range in self"
_PATIENCE = 20.0
"""Seconds of processor for finding what a model can be built and called with."""
_AGAIN, _STEPS = 40, 4
"""How many inputs are tried that differ in a size that a failure asked for, and how often one is changed."""
_SEARCHED = 2
"""Of how many variants an input is sought step by step: others differ in their widths, mostly."""
_SLOW = 0.5
"""Seconds from which on an input that a model does not take is tried after all others at the next widths."""


@dataclass(frozen=True)
class Variant:
    """One way to probe a draft: its axes, how it is built at their sizes, and what there is to say.

    cut: arguments that were made smaller, with the model's own values.
    missing: kinds of modules that only the whole model has, each with why.
    depths: the arguments that are numbers of blocks, which `build` takes beside the axes.
    tuned: those that set an initialization or a learning rate, with their values; `build` takes them as well.
    length: how many tokens the longest sequence holds that the model is made for.
    library: its models are microsoft/mup's, whose base shapes were set here. call: how it is built, as source, where
    that is not as the draft says.
    """

    axes: tuple[WidthAxis, ...]
    build: Callable[[Sizes], Any]
    notes: tuple[str, ...] = ()
    hints: Hints = field(default_factory=Hints)
    cut: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[tuple[str, str], ...] = ()
    depths: tuple[WidthAxis, ...] = ()
    tuned: Mapping[str, float] = field(default_factory=dict)
    length: int | None = None
    library: bool = False
    call: str = ""


@dataclass(frozen=True)
class Draft:
    """A target before anything was run. variants: in order of preference, made as needed.

    call: the model's construction as source, for messages, and imports: the lines it wants.
    forms: calls to try before the guessed ones.
    init: the user's `init(model)`, run after every build. spec: what builds the model was written for this.
    guessed: the texts among its arguments that nothing but their names spoke for.
    """

    label: str
    call: str
    variants: Iterable[Variant]
    batch: Callable[..., Any] | None = None
    batches: Callable[..., Any] | None = None
    held_out: Callable[..., Any] | None = None
    loss: Callable[..., Any] | None = None
    optimizer: Callable[..., Any] | None = None
    scheduler: Callable[..., Any] | None = None
    path: Path | None = None
    notes: tuple[str, ...] = ()
    forms: Callable[[nn.Module], Iterable[input_forms.Form]] | None = None
    defined: type | Callable[..., Any] | None = None
    init: Callable[[nn.Module], Any] | None = None
    spec: bool = False
    imports: tuple[str, ...] = ()
    guessed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Trial:
    """The two models of a variant that ran, how they are built, what they were called with and what came out.

    unfilled: the parameters, by pattern, that nothing gives values.
    """

    variant: Variant
    build: Callable[[Sizes, int], nn.Module]
    models: tuple[nn.Module, nn.Module]
    form: input_forms.Form | None
    inputs: Callable[[Sizes], Inputs]
    outputs: tuple[Any, Any]
    shown: str
    data: Callable[[Sizes, int], Iterator[Inputs]] | None = None
    notes: tuple[str, ...] = ()
    held_out: Callable[[Sizes], list[Inputs]] | None = None
    unfilled: tuple[str, ...] = ()


class _Patience:
    """How long trying may go on.

    slow: inputs, by their keys, that took long before the model refused them. steps: for how many more variants an
    input is sought step by step.
    """

    def __init__(self) -> None:
        self._end = time.process_time() + _PATIENCE
        self.slow: set[tuple[Any, ...]] = set()
        self.steps = _SEARCHED

    @property
    def ended(self) -> bool:
        return time.process_time() > self._end

    def failed(self, form: input_forms.Form, seconds: float) -> None:
        if form.key and seconds > _SLOW:
            self.slow.add(form.key)


def first_that_runs(draft: Draft, options: TargetOptions) -> Trial:
    """The first variant that runs; the first failure is raised when none does, for it is of the likeliest one.

    One that was built goes before one that was not.
    """
    try:
        return _first_that_runs(draft, options)
    finally:
        give_back()


def _first_that_runs(draft: Draft, options: TargetOptions) -> Trial:
    first: UserError | None = None
    failed: Variant | None = None
    patience = _Patience()
    for variant in draft.variants:
        try:
            return _tried(draft, variant, options, patience)
        except UserError as error:
            if first is None or (_not_built(first) and not _not_built(error)):
                failed, first = variant, error
            if not isinstance(error, RaisedError):
                raise first from error  # no module, no parameters: other widths would not help
            if patience.ended or error.words:
                break
        gc.collect()  # its models, which what was raised holds in a circle
    if failed is not None and first is not None:
        told = own_width_alone(
            failed.axes, builder(draft, failed), partial(_inputs, draft, failed, options), first, draft.label,
            _file(draft),
        )  # fmt: skip
        if told is first:
            raise first  # with its own cause
        raise told from first
    raise UserError(f"{draft.label} could not be built at any width that was tried")


def _not_built(error: UserError) -> bool:
    return error.message.startswith("building ")


def _tried(draft: Draft, variant: Variant, options: TargetOptions, patience: _Patience) -> Trial:
    """The variant run; once more on the CPU where it asks for a GPU that is not there."""
    try:
        return _try(draft, variant, options, patience)
    except UserError as error:
        if not devices.on_the_cpu(error.message):
            raise
        found = _try(draft, variant, options, patience)
        return replace(found, notes=(*found.notes, "the code asks for a GPU, and none is here: it was run on the CPU"))


def _try(draft: Draft, variant: Variant, options: TargetOptions, patience: _Patience) -> Trial:
    sizes = tuple({axis.name: axis.probes[place] for axis in variant.axes} for place in (0, 1))
    build, note = _initialized(draft, _complete(draft, variant, builder(draft, variant), sizes[0]), sizes[0], options)
    build, first, unfilled = filled(build, sizes[0])
    models = (first, build(sizes[1], 0))
    for model in models:
        sound.check_values(model, draft.label)
    if draft.batch is not None:
        convert = _converter(draft, models[0])
        make, outputs = _run_batch(draft, variant, models, sizes, convert)
        axes = [axis.name for axis in variant.axes]
        data = batch_stream.endless(draft.batch, draft.batches, axes, convert)
        held_out = None if draft.held_out is None else batch_stream.once(draft.held_out, axes, convert)
        shown = _shown(make(sizes[0]))
        return Trial(variant, build, models, None, make, outputs, shown, data, (note,), held_out, unfilled)
    form, outputs = _run_forms(draft, variant, options, models, sizes, patience)
    return Trial(variant, build, models, form, form.make, outputs, str(form), notes=(note,), unfilled=unfilled)


def _initialized(
    draft: Draft, build: Callable[[Sizes, int], nn.Module], sizes: Sizes, options: TargetOptions
) -> tuple[Callable[[Sizes, int], nn.Module], str]:
    """`build`, followed by the initialization that the constructor leaves to others, and what to say about it."""
    if draft.init is not None and options.init is None and not options.no_init:
        return initialization.followed(build, initialization.of_user(draft.init)), ""
    watched = initialization.Watched()
    with watched.watch():
        model = build(sizes, 0)
    choice = initialization.choose(model, watched, options.init, options.no_init, draft.spec)
    return initialization.followed(build, choice.apply), choice.note


def builder(draft: Draft, variant: Variant) -> Callable[[Sizes, int], nn.Module]:
    def build(sizes: Sizes, seed: int) -> nn.Module:
        shown = ", ".join(f"{name}={size}" for name, size in sizes.items())
        with guarded(f"building {draft.label} at {shown}"), seeded(seed):
            model = variant.build(sizes)
        if not isinstance(model, nn.Module):
            raise UserError(
                f"{draft.call} returned an object of type {type(model).__name__}, expected a torch.nn.Module",
                "return the model itself from build(width)",
            )
        sound.check_structure(model, draft.label)
        if next(iter(model.parameters()), None) is None:
            raise UserError(f"{draft.label} has no parameters", "register them as nn.Parameter or in submodules")
        return model

    return build


def _converter(draft: Draft, model: nn.Module) -> Callable[[Any], Inputs]:
    """From what a user's batch returns to what the forward is called with."""
    taken = input_forms.positional_arguments(model)

    def convert(raw: Any) -> Inputs:
        if isinstance(raw, Mapping):
            return Inputs((), dict(raw), raw)
        args = tuple(raw) if isinstance(raw, (tuple, list)) else (raw,)
        # beyond what the forward takes, a batch holds targets for the loss
        return Inputs(args[:taken], {}, raw)

    return convert


def _run_batch(
    draft: Draft,
    variant: Variant,
    models: tuple[nn.Module, nn.Module],
    sizes: tuple[Sizes, ...],
    convert: Callable[[Any], Inputs],
) -> tuple[Callable[[Sizes], Inputs], tuple[Any, Any]]:
    """Run the user's own batch, the first one of a generator."""
    make = _maker(draft, variant, convert)
    outputs = [_fitted(draft, model, make(at)) for model, at in zip(models, sizes, strict=True)]
    return make, (outputs[0], outputs[1])


def _maker(draft: Draft, variant: Variant, convert: Callable[[Any], Inputs]) -> Callable[[Sizes], Inputs]:
    batch = draft.batch
    assert batch is not None
    axes = [axis.name for axis in variant.axes]

    def make(at: Sizes) -> Inputs:
        with guarded("batch(width)"):
            seed_everything(0)
            raw = batch_stream.call_with_sizes(batch, at, axes[:1])
            made = convert(next(raw) if batch_stream.is_generator(raw) else raw)
        if raw is ...:
            raise UserError("the line of batch(width) that says `fill in` is still to be filled in")
        sound.check_batch((*made.args, *made.kwargs.values()))
        return made

    return make


def _fitted(draft: Draft, model: nn.Module, made: Inputs) -> Any:
    """What the model makes of the user's batch."""
    try:
        with quiet():
            return model(*made.args, **made.kwargs)
    except (Exception, SystemExit) as error:
        hint = f"the forward takes {_signature(model)}; batch(width) returns its input: a tensor, a tuple or a dict"
        raise user_error(f"the batch ({_shown(made)}) does not fit {draft.label}: forward", error, hint) from error


def _complete(
    draft: Draft, variant: Variant, build: Callable[[Sizes, int], nn.Module], sizes: Sizes
) -> Callable[[Sizes, int], nn.Module]:
    """`build`; where there are lazy modules, followed by one forward, from which they take their shapes."""
    if draft.batch is None or not sound.is_uninitialized(model := build(sizes, 0)):
        return build
    make = _maker(draft, variant, _converter(draft, model))

    def complete(at: Sizes, seed: int) -> nn.Module:
        model, made = build(at, seed), make(at)
        seed_everything(seed)  # the batch has a seed of its own
        with torch.no_grad():
            _fitted(draft, model, made)
        return model

    return complete


def _run_forms(
    draft: Draft,
    variant: Variant,
    options: TargetOptions,
    models: tuple[nn.Module, nn.Module],
    sizes: tuple[Sizes, ...],
    patience: _Patience,
) -> tuple[input_forms.Form, tuple[Any, Any]]:
    """Run guessed (or given) inputs until one is accepted at both widths, or the time is up.

    One at which the model's own loss is a number goes before one at which it is none (labels longer than the sound).
    """
    first: BaseException | None = None
    odd: tuple[input_forms.Form, tuple[Any, Any]] | None = None
    axis = variant.axes[0].name
    candidates = _pairs(draft, variant, options, models, axis, (sizes[0][axis], sizes[1][axis]))
    for form in sorted(candidates, key=lambda form: form.key in patience.slow):
        if first is not None and patience.ended:
            break
        start = time.process_time()
        outputs, error, _ = _run_both(models, form, sizes)
        if _OUT_OF_RANGE in str(error):  # of tokens to which the forward adds: `text + 1`
            fewer = input_forms.of_lower_numbers(form)
            again = _run_both(models, fewer, sizes)
            if _OUT_OF_RANGE not in str(again[1]):
                candidates[candidates.index(form)] = form = fewer
                outputs, error, _ = again
        if error is None:
            if all(losses.is_finite(output) for output in outputs):
                return form, (outputs[0], outputs[1])
            odd = odd or (form, (outputs[0], outputs[1]))
            continue
        first = first or error
        asked = refusals.words(error)
        clear_frames(error.__traceback__)  # which hold what the model had made until then
        patience.failed(form, time.process_time() - start)
        if odd is None and (asked := tuple(each for each in asked if each[0] in draft.guessed)):
            told = user_error(f"no input was found that {draft.label} accepts: forward", error)
            told.words = asked  # which no other input makes words that the code knows
            raise told from error
        absent = isinstance(error, ImportError) or devices.wants_gpu(str(error))
        if absent and odd is None:  # a package, or a GPU, is asked for, which no other input brings
            raise _no_input(draft, variant, options, models[0], [form], error) from error
    if odd is None and not options.inputs and patience.steps:
        patience.steps -= 1
        odd = stepwise.brought_to_fit(candidates, models[0], partial(_run_finite, models, sizes=sizes), axis,
                                      (sizes[0], sizes[1]), lambda: patience.ended)  # fmt: skip
    if odd is not None:
        return odd
    raise _no_input(draft, variant, options, models[0], candidates[:1], first)


def _run_both(
    models: tuple[nn.Module, nn.Module], form: input_forms.Form, sizes: tuple[Sizes, ...]
) -> tuple[tuple[Any, ...], BaseException | None, int]:
    """What both models make of an input; or why one did not take it, and which."""
    outputs: list[Any] = []
    try:
        with attempt():
            outputs.extend(_result(model, form.make(at)) for model, at in zip(models, sizes, strict=True))
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        return (), error, len(outputs)
    return tuple(outputs), None, 0


def _run_finite(
    models: tuple[nn.Module, nn.Module], form: input_forms.Form, sizes: tuple[Sizes, ...]
) -> tuple[tuple[Any, ...], BaseException | None, int]:
    """As `_run_both`, with nothing that came out where some of it is no number."""
    outputs, error, place = _run_both(models, form, sizes)
    made = [each for each in tree_leaves(outputs) if isinstance(each, torch.Tensor)]
    return () if any(bool(each.isnan().any()) for each in made) else outputs, error, place


def _pairs(
    draft: Draft, variant: Variant, options: TargetOptions, models: tuple[nn.Module, nn.Module], axis: str,
    sizes: tuple[int, int],
) -> list[input_forms.Form]:  # fmt: skip
    """The forms that both models have, as they come; of the guessed ones those that do not go with the width first."""
    small, large = (
        {form.key or ("given", at): form for at, form in enumerate(_forms(draft, variant, options, model, place))}
        for place, model in enumerate(models)
    )
    joined = [input_forms.grow(form, large[key], axis, sizes) for key, form in small.items() if key in large]
    found = [form for form in joined if form is not None]
    found.sort(key=lambda form: bool(form.key) + bool(form.key and form.follows_width))
    return [form for at, form in enumerate(found) if form not in found[:at]]


def _forms(
    draft: Draft, variant: Variant, options: TargetOptions, model: nn.Module, place: int = 0
) -> Iterator[input_forms.Form]:
    """What a model may be called with. place: at which of the widths it was built."""
    if options.inputs:
        yield from input_forms.with_targets(input_forms.given_form(options.inputs, model), model)
        return
    if draft.forms is not None:
        yield from draft.forms(model)
    sizes = {axis.name.rpartition(".")[2]: axis.probes[place] for axis in variant.axes}
    known = {name: size for name, size in sizes.items() if type(variant.hints.values.get(name)) is int}
    yield from input_forms.forms(model, replace(variant.hints, values={**variant.hints.values, **known}))


def _inputs(
    draft: Draft, variant: Variant, options: TargetOptions, model: nn.Module
) -> Iterator[Callable[[Sizes], Inputs]]:
    """What one model alone may be called with."""
    return (form.make for form in _forms(draft, variant, options, model))


def _result(model: nn.Module, made: Inputs) -> Any:
    """What a model makes of an input, without the values in between that a backward would need."""

    def alone(each: Any) -> Any:
        return each.detach().requires_grad_(each.requires_grad) if isinstance(each, torch.Tensor) else each

    return tree_map(alone, forward_only(lambda: model(*made.args, **made.kwargs)))


def _no_input(
    draft: Draft, variant: Variant, options: TargetOptions, model: nn.Module, tried: list[input_forms.Form],
    error: BaseException | None,
) -> UserError:  # fmt: skip
    """What the forward takes, and the spec to which only the right tensors are missing."""
    names = list(inspect.signature(running(model)).parameters) or ["x"]
    made = suggested_specs.open_batch(names)
    call = variant.call or draft.call
    text = suggested_specs.spec("" if draft.spec else call, () if draft.spec else draft.imports, made)
    where = draft.path.name if draft.path is not None else "a file"
    first = f" (not {tried[0]})" if tried and not options.inputs else ""
    hint = (
        f"the forward takes {_signature(model)}; say which tensors{first} with --input, one for each,\n"
        f"or paste this into {where} and fill in the line that says so:\n\n{text}\n"
    )
    if options.inputs:
        shown = ", ".join(str(spec) for spec in options.inputs.values())
        what = f"--input {shown} does not fit {draft.label}: forward"
    else:
        what = f"no input was found that {draft.label} accepts: forward"
    numbers = advice(_file(draft)) if error is not None and _of_shapes(error) else ""
    hint = f"{numbers}\n{hint}" if numbers else hint
    nothing = f"no input was found for {draft.label}: nothing in it tells what {', '.join(names) or 'it'} may be"
    return user_error(what, error, hint) if error is not None else UserError(nothing, hint)


def _file(draft: Draft) -> str | None:
    return getattr(sys.modules.get(getattr(draft.defined, "__module__", "")), "__file__", None)


def _of_shapes(error: BaseException) -> bool:
    """Whether a forward failed because two sizes do not fit: one of them may be a number in the code."""
    return (
        re.search(r"cannot be multiplied|must match the size|expected input|is invalid for input", str(error))
        is not None
    )


def _signature(model: nn.Module) -> str:
    return str(inspect.signature(model.forward))


def _shown(made: Inputs) -> str:
    """`int64[2, 32]` for every tensor of an input."""

    def text(value: Any) -> str:
        if isinstance(value, torch.Tensor):
            return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
        return type(value).__name__

    shown = [text(value) for value in made.args] + [f"{name} {text(value)}" for name, value in made.kwargs.items()]
    return ", ".join(shown) or "nothing"
