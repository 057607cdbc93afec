"""From a draft of a target, whatever its form, to a Target that is known to run: built, run and differentiated once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from muaudit.errors import UserError
from muaudit.target import inputs as input_forms
from muaudit.target import losses, optimizers
from muaudit.target.options import MAIN_AXIS, TargetOptions
from muaudit.target.probe import Inputs, Target, WidthAxis
from muaudit.target.usercode import guarded, quiet, seed_everything, user_error

Sizes = Mapping[str, int]


@dataclass(frozen=True)
class Variant:
    """One way to probe a draft: its axes, how it is built at their sizes, and what there is to say."""

    axes: tuple[WidthAxis, ...]
    build: Callable[[Sizes], Any]
    notes: tuple[str, ...] = ()
    hints: input_forms.Hints = field(default_factory=input_forms.Hints)


@dataclass(frozen=True)
class Draft:
    """A target before anything was run. variants: in order of preference, made as needed.

    call: the model's construction as source, for messages. forms: calls to try before the guessed ones.
    """

    label: str
    call: str
    variants: Iterable[Variant]
    batch: Callable[..., Any] | None = None
    loss: Callable[..., Any] | None = None
    optimizer: Callable[..., Any] | None = None
    scheduler: Callable[..., Any] | None = None
    path: Path | None = None
    notes: tuple[str, ...] = ()
    forms: Callable[[nn.Module], Iterable[input_forms.Form]] | None = None
    defined: type | Callable[..., Any] | None = None


@dataclass(frozen=True)
class _Trial:
    """The two models of a variant that ran, what they were called with and what came out."""

    variant: Variant
    models: tuple[nn.Module, nn.Module]
    form: input_forms.Form | None
    inputs: Callable[[Sizes], Inputs]
    outputs: tuple[Any, Any]
    shown: str


def finish(draft: Draft, options: TargetOptions) -> Target:
    """Try the variants until one builds and runs at its two smallest widths; choose loss and optimizer for it."""
    optimizers.spare_dynamo()
    draft = dataclasses.replace(
        draft,
        batch=options.batch or (None if options.inputs else draft.batch),
        loss=options.loss or draft.loss,
        optimizer=options.build_optimizer or draft.optimizer,
    )
    trial = _first_that_runs(draft, options)
    loss, loss_note = _choose_loss(draft, trial)
    factory, optimizer_name, source, optimizer_note = _choose_optimizer(draft, options, trial)
    axes = trial.variant.axes
    widths = ", ".join(f"{axis.name} {' → '.join(map(str, axis.probes))}" for axis in axes)
    notes = (*draft.notes, *trial.variant.notes, loss_note, optimizer_note, _hint(axes, draft))
    file, line = _definition(draft, trial.models[0])
    return Target(
        label=draft.label, axes=axes, build=_builder(draft, trial.variant), inputs=trial.inputs, loss=loss, optimizer=factory,
        optimizer_name=optimizer_name, optimizer_source=source, describe=f"{draft.label}, {widths}, input {trial.shown}",
        path=draft.path, notes=tuple(note for note in notes if note), class_file=file, class_line=line,
        scheduler=draft.scheduler,
    )  # fmt: skip


def _first_that_runs(draft: Draft, options: TargetOptions) -> _Trial:
    """The first variant that runs; the first failure is raised when none does, for it is of the likeliest one."""
    first: UserError | None = None
    for variant in draft.variants:
        try:
            return _try(draft, variant, options)
        except UserError as error:
            first = first or error
            if not _worth_retrying(error):
                raise
    raise first or UserError(f"{draft.label} could not be built at any width that was tried")


def _worth_retrying(error: UserError) -> bool:
    """Whether other widths may help: not where the model is no model or the user's own batch is at fault."""
    return " raised " in error.message


def _try(draft: Draft, variant: Variant, options: TargetOptions) -> _Trial:
    sizes = tuple({axis.name: axis.probes[place] for axis in variant.axes} for place in (0, 1))
    build = _builder(draft, variant)
    models = (build(sizes[0], 0), build(sizes[1], 0))
    if draft.batch is not None:
        make, outputs = _run_batch(draft, variant, models, sizes)
        return _Trial(variant, models, None, make, outputs, _shown(make(sizes[0])))
    form, outputs = _run_forms(draft, variant, options, models, sizes)
    return _Trial(variant, models, form, form.make, outputs, str(form))


def _builder(draft: Draft, variant: Variant) -> Callable[[Sizes, int], nn.Module]:
    def build(sizes: Sizes, seed: int) -> nn.Module:
        shown = ", ".join(f"{name}={size}" for name, size in sizes.items())
        with guarded(f"building {draft.label} at {shown}"):
            seed_everything(seed)
            model = variant.build(sizes)
        if not isinstance(model, nn.Module):
            raise UserError(
                f"{draft.call} returned a {type(model).__name__}, expected a torch.nn.Module",
                "return the model itself from build(width)",
            )
        if next(iter(model.parameters()), None) is None:
            raise UserError(f"{draft.label} has no parameters", "register them as nn.Parameter or in submodules")
        return model

    return build


def _run_batch(
    draft: Draft, variant: Variant, models: tuple[nn.Module, nn.Module], sizes: tuple[Sizes, ...]
) -> tuple[Callable[[Sizes], Inputs], tuple[Any, Any]]:
    """Run the user's own batch."""
    batch = draft.batch
    assert batch is not None
    taken = input_forms.positional_arguments(models[0])
    trimmed = taken if draft.loss is not None else 1000
    axes = [axis.name for axis in variant.axes]

    def make(at: Sizes) -> Inputs:
        with guarded("batch(width)"):
            seed_everything(0)
            raw = _call_with_sizes(batch, at, axes)
        if isinstance(raw, Mapping):
            return Inputs((), dict(raw), raw)
        args = tuple(raw) if isinstance(raw, (tuple, list)) else (raw,)
        # beyond what the forward takes, a batch holds targets for the user's loss
        return Inputs(args[:trimmed], {}, raw)

    outputs = []
    for model, at in zip(models, sizes, strict=True):
        made = make(at)
        try:
            with quiet():
                outputs.append(model(*made.args, **made.kwargs))
        except Exception as error:
            hint = f"the forward takes {_signature(model)}; batch(width) returns its input: a tensor, a tuple or a dict"
            raise user_error(f"the batch ({_shown(made)}) does not fit {draft.label}: forward", error, hint) from error
    return make, (outputs[0], outputs[1])


def _call_with_sizes(function: Callable[..., Any], sizes: Sizes, axes: list[str]) -> Any:
    """Call `batch` with the widths it takes: none, the main one, or each by name."""
    import inspect

    parameters = inspect.signature(function).parameters
    named = {name: sizes[name] for name in parameters if name in sizes}
    if named and len(named) == len(parameters):
        return function(**named)
    return function(sizes[axes[0]]) if parameters else function()


def _run_forms(
    draft: Draft, variant: Variant, options: TargetOptions, models: tuple[nn.Module, nn.Module], sizes: tuple[Sizes, ...]
) -> tuple[input_forms.Form, tuple[Any, Any]]:
    """Run guessed (or given) inputs until one is accepted at both widths."""
    first: Exception | None = None
    candidates = (list(_forms(draft, variant, options, model)) for model in models)
    for small, large in zip(*candidates, strict=False):
        form = input_forms.grow(small, large, variant.axes[0].name, (sizes[0][variant.axes[0].name], sizes[1][variant.axes[0].name]))
        try:
            with quiet():
                outputs = tuple(_call_model(model, form.make(at)) for model, at in zip(models, sizes, strict=True))
            return form, (outputs[0], outputs[1])
        except UserError:
            raise
        except Exception as error:
            first = first or error
    raise _no_input(draft, options, models[0], first)


def _forms(draft: Draft, variant: Variant, options: TargetOptions, model: nn.Module) -> Iterator[input_forms.Form]:
    if options.inputs:
        yield from input_forms.with_targets(input_forms.given_form(options.inputs, model), model)
        return
    if draft.forms is not None:
        yield from draft.forms(model)
    yield from input_forms.forms(model, variant.hints)


def _call_model(model: nn.Module, made: Inputs) -> Any:
    return model(*made.args, **made.kwargs)


def _no_input(draft: Draft, options: TargetOptions, model: nn.Module, error: Exception | None) -> UserError:
    flag = f"the forward takes {_signature(model)}; say which tensors with --input, for example --input 'int64[2,32]'"
    hint = f"{flag}\nor in a spec:\n  def build(width):\n      return {draft.call}\n\n  def batch(width):\n      return torch.randint(0, 256, (2, 32))"
    if options.inputs:
        shown = ", ".join(str(spec) for spec in options.inputs.values())
        what = f"--input {shown} does not fit {draft.label}: forward"
    else:
        what = f"no input was found that {draft.label} accepts: forward"
    return user_error(what, error, hint) if error is not None else UserError(f"{what} takes no input", hint)


def _choose_loss(draft: Draft, trial: _Trial) -> tuple[Callable[[Any, Inputs], torch.Tensor], str]:
    sizes = {axis.name: axis.probes[0] for axis in trial.variant.axes}
    made = trial.inputs(sizes)
    user = draft.loss
    if user is None:
        chosen = losses.choose(trial.outputs, made, with_targets=_passes_targets(trial, made))
        for output in trial.outputs:
            chosen.loss(output, made)
        return chosen.loss, chosen.note

    def loss(output: Any, inputs: Inputs) -> torch.Tensor:
        with guarded("loss(output, batch)"):
            found = user(output, inputs.raw)
        return losses.check_scalar(found, "loss(output, batch)")

    loss(trial.outputs[0], made)
    return loss, ""


def _passes_targets(trial: _Trial, made: Inputs) -> bool:
    """Whether the model was given targets, so that a scalar in its output is its loss; a user's batch may hold them."""
    return trial.form is None or bool(trial.form.targets) or any(name in made.kwargs for name in ("labels", "targets"))


def _choose_optimizer(
    draft: Draft, options: TargetOptions, trial: _Trial
) -> tuple[optimizers.Factory, str, str, str]:
    """(factory, name, source, note). A flag beats the spec, which beats the model's own method."""
    main = trial.variant.axes[0]
    flagged = options.optimizer is not None or bool(options.lr_groups)
    name = optimizers.known(options.optimizer or "adamw")
    optimizers.check_groups(options.lr_groups, trial.models[0])
    factory, source, note = None, "", ""
    if draft.optimizer is not None and (not flagged or options.build_optimizer is not None):
        factory, source = optimizers.from_user(draft.optimizer, draft.path.name if draft.path else draft.label), "spec"
    elif not flagged:
        factory, method, problem = optimizers.from_method(trial.models[0])
        source = f"model method {method}"
        note = f"{method}() could not be used ({problem}), so adamw stands in; --optimizer picks another" if problem else ""
    if factory is None:
        factory = optimizers.default(name, options.lr_groups, main.name, main.probes[0])
        source = f"default {name}, one learning rate for everything"
        if options.lr_groups:
            source = f"{name} with --lr-group " + ", ".join(f"{pattern}={exponent:g}" for pattern, exponent in options.lr_groups)
    sizes = {axis.name: axis.probes[0] for axis in trial.variant.axes}
    made = factory(trial.models[0], sizes)
    return factory, type(made).__name__.lower(), source, note


def _hint(axes: tuple[WidthAxis, ...], draft: Draft) -> str:
    sizes = ",".join(str(2 * probe) for probe in axes[0].probes)
    inputs = "" if draft.batch else "; --input 'int64[2,32]' another input"
    return f"--width {axes[0].name}={sizes} probes other widths{inputs}"


def _definition(draft: Draft, model: nn.Module) -> tuple[str | None, int | None]:
    code = getattr(draft.defined, "__code__", None)
    if code is not None:
        return code.co_filename, code.co_firstlineno
    try:
        import inspect

        cls = draft.defined if isinstance(draft.defined, type) else type(model)
        return inspect.getsourcefile(cls), inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return None, None


def _signature(model: nn.Module) -> str:
    import inspect

    return str(inspect.signature(model.forward))


def _shown(made: Inputs) -> str:
    """`int64[2, 32]` for every tensor of an input."""

    def text(value: Any) -> str:
        if isinstance(value, torch.Tensor):
            return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
        return type(value).__name__

    shown = [text(value) for value in made.args] + [f"{name} {text(value)}" for name, value in made.kwargs.items()]
    return ", ".join(shown) or "nothing"


_ = MAIN_AXIS
