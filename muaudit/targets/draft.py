"""From a draft of a target, whatever its form, to a Target that is known to run: loss and optimizer are chosen here."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable
from itertools import tee
from typing import Any

import torch
from torch import nn

from muaudit.targets import losses, scripts, training_optimizer
from muaudit.targets.bsh import based, based_on_probes, wants_base_shapes
from muaudit.targets.carried import scheduler_of
from muaudit.targets.options import TargetOptions
from muaudit.targets.probe import Inputs, Target
from muaudit.targets.returned import name_of
from muaudit.targets.source import class_node, file_of
from muaudit.targets.trial import Draft, Trial, first_that_runs
from muaudit.targets.usercode import RaisedError, guarded

_METHOD = "model method "
_UNFILLED = "nothing gives it values, as torch.empty leaves it: taken as zeros, its initialization is not judged"


def finish(draft: Draft, options: TargetOptions) -> Target:
    """Try the variants until one builds and runs at its two smallest widths; choose loss and optimizer for it."""
    training_optimizer.spare_dynamo()
    draft = dataclasses.replace(
        draft,
        batch=options.batch or (None if options.inputs else draft.batch),
        batches=None if options.batch or options.inputs else draft.batches,
        held_out=None if options.batch or options.inputs else draft.held_out,
        loss=options.loss or draft.loss,
        optimizer=options.build_optimizer or draft.optimizer,
        variants=based(draft.variants, options.bsh) if options.bsh else draft.variants,
    )
    trial = _trial(draft, options)
    loss, loss_note = _choose_loss(draft, trial)
    factory, optimizer_name, source, optimizer_note, brings_scheduler = _choose_optimizer(draft, options, trial)
    axes = trial.variant.axes
    widths = ", ".join(f"{axis.name} {' → '.join(map(str, axis.probes))}" for axis in axes)
    wide = trial.form is not None and trial.form.follows_width
    input_note = "the input is as wide as the model, so its data differ between widths" if wide else ""
    run = (*draft.notes, _script(draft))
    notes = (*run, *trial.variant.notes, *trial.notes, input_note, loss_note, optimizer_note, _hint(trial))
    file, line = _definition(draft, trial.models[0])
    return Target(
        label=draft.label,
        axes=axes,
        build=trial.build,
        inputs=trial.inputs,
        loss=loss,
        optimizer=factory,
        optimizer_name=optimizer_name,
        optimizer_source=source,
        describe=f"{draft.label}, {widths}, input {trial.shown}",
        path=draft.path,
        notes=tuple(note for note in notes if note),
        class_file=file,
        class_line=line,
        scheduler=_scheduler(draft.scheduler, factory if brings_scheduler else None),
        data=trial.data,
        held_out=trial.held_out,
        cut=trial.variant.cut,
        missing=(*trial.variant.missing, *((name, _UNFILLED) for name in trial.unfilled)),
        filled=_filled(trial, source),
        depths=trial.variant.depths,
        tuned=trial.variant.tuned,
        length=trial.variant.length,
    )


def _trial(draft: Draft, options: TargetOptions) -> Trial:
    """The first variant that runs; with base shapes where microsoft/mup's readout refuses to run for want of them."""
    first, again = tee(draft.variants)
    try:
        return first_that_runs(dataclasses.replace(draft, variants=first), options)
    except RaisedError as error:
        if options.bsh or not wants_base_shapes(error.message):
            raise
    return first_that_runs(dataclasses.replace(draft, variants=based_on_probes(again)), options)


def _choose_loss(draft: Draft, trial: Trial) -> tuple[Callable[[Any, Inputs], torch.Tensor], str]:
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
        return losses.check_scalar(found, "loss(output, batch)", gradient=False)  # asked once, below

    losses.check_scalar(loss(trial.outputs[0], made), "loss(output, batch)")
    return loss, ""


def _passes_targets(trial: Trial, made: Inputs) -> bool:
    """Whether the model was given targets, so that a scalar in its output is its loss; a user's batch may hold them."""
    return trial.form is None or bool(trial.form.targets) or any(name in made.kwargs for name in ("labels", "targets"))


def _choose_optimizer(
    draft: Draft, options: TargetOptions, trial: Trial
) -> tuple[training_optimizer.Factory, str, str, str, bool]:
    """(factory, name, source, note, whether a scheduler comes with it).

    A flag beats the spec, which beats the model's own method.
    """
    main = trial.variant.axes[0]
    flagged = options.optimizer is not None or bool(options.lr_groups)
    name = training_optimizer.known(options.optimizer or "adamw")
    training_optimizer.check_groups(options.lr_groups, trial.models[0])
    factory, source, note = None, "", ""
    if draft.optimizer is not None and (not flagged or options.build_optimizer is not None):
        factory, source = (
            training_optimizer.from_user(draft.optimizer, draft.path.name if draft.path else draft.label),
            "your own optimizer()",
        )
    elif not flagged:
        factory, method, problem = training_optimizer.from_method(trial.models[0])
        source = f"{_METHOD}{method}"
        if problem:
            note = f"{method}() could not be used ({problem}), so adamw stands in; --optimizer picks another"
    if factory is None and trial.variant.library and not flagged:
        factory, source = training_optimizer.from_library, "mup's MuAdamW, which goes with its layers"
        note = "trained by mup's MuAdamW, as its layers are; --optimizer adamw is torch's own"
    if factory is None:
        factory = training_optimizer.default(name, options.lr_groups, main.name, main.probes[0])
        source = f"default {name}, one learning rate for everything"
        if options.lr_groups:
            groups = ", ".join(f"{pattern}={exponent:g}" for pattern, exponent in options.lr_groups)
            source = f"{name} with --lr-group {groups}"
    if options.optimizer_kinds:
        factory = training_optimizer.declaring(factory, options.optimizer_kinds, trial.models[0])
        said = ", ".join(f"{pattern} as {kind}" for pattern, kind in options.optimizer_kinds)
        note = f"{note}; {said}: --optimizer-kind says so" if note else f"{said}: --optimizer-kind says so"
    sizes = {axis.name: axis.probes[0] for axis in trial.variant.axes}
    made = factory(trial.models[0], sizes)
    return factory, name_of(made), source, note, scheduler_of(made) is not None


def _filled(trial: Trial, source: str) -> frozenset[str]:
    """The settings that the model's own method was given for want of a value."""
    method = source.removeprefix(_METHOD)
    return training_optimizer.filled(trial.models[0], method) if method != source else frozenset()


def _scheduler(
    user: Callable[[Any], Any] | None, factory: training_optimizer.Factory | None
) -> Callable[[Any], Any] | None:
    """The user's own, called with what their optimizer function returned, else what comes with the optimizer."""
    if user is not None:

        @functools.wraps(user)
        def given(optimizer: Any) -> Any:
            return user(getattr(optimizer, "returned", optimizer))

        return given
    if factory is None:
        return None

    def brought(optimizer: Any) -> Any:
        return scheduler_of(optimizer)

    return functools.update_wrapper(brought, inspect.unwrap(factory), (), ())


def _script(draft: Draft) -> str:
    """What there is to say about how the file that holds the model was run."""
    module = sys.modules.get(getattr(draft.defined, "__module__", ""))
    return scripts.note_of(vars(module)) if module is not None else ""


def _hint(trial: Trial) -> str:
    """How to choose otherwise: at widths and with an input that the model can be expected to take."""
    main = trial.variant.axes[0]
    sizes = ",".join(str(2 * probe) for probe in main.probes)
    flags = " ".join(trial.form.flags(batch=2)) if trial.form is not None else ""
    return f"--width {main.name}={sizes} probes other widths" + (f"; {flags} another input" if flags else "")


def _definition(draft: Draft, model: nn.Module) -> tuple[str | None, int | None]:
    code = getattr(draft.defined, "__code__", None)
    if code is not None:
        return code.co_filename, code.co_firstlineno
    cls = draft.defined if isinstance(draft.defined, type) else type(model)
    node = class_node(cls)
    return (file_of(cls), node.lineno) if node is not None else (None, None)
