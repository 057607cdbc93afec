"""The audit over depth, top to bottom: record two numbers of blocks → align → read the stream → judge → report."""

from __future__ import annotations

from collections.abc import Iterable

from ..analysis import SEED, Analysis, analyse
from ..analysis.along_depth import Depth
from ..analysis.derivations import Derivations
from ..findings.discrepancy import Discrepancy
from ..findings.model import Report, Unanalysed, Verdict, Violation
from ..judge.settings_over_depth import settings_over_depth
from ..parametrizations.profile_file import get_profile
from ..parametrizations.profiles import Profile
from ..release import __version__
from ..targets.probe import Target
from ..trace.kernels import probe_kernels
from .data_flow import data_flow
from .located import located
from .not_analysed import not_analysed
from .rows import activation_rows, aliases, tensor_rows
from .violations import judge

_GUESSED = 64.0  # times as many blocks as the first probe has, where the model has no number of its own
_MARGIN = 10.0  # as over width


def audit_over_depth(target: Target, *, profile: Profile | str = "completep", seed: int = SEED) -> Report:
    """Audit a target along its number of blocks. Nothing is trained.

    Raises:
        UserError: the user's code raised, or there is no stack of blocks whose number grows alone.
    """
    school = get_profile(profile) if isinstance(profile, str) else profile
    return report_over_depth(analysed_over_depth(target, school, seed=seed), school)


def analysed_over_depth(target: Target, school: Profile, *, seed: int = SEED) -> Analysis:
    """What is known of a target along its number of blocks. Raises UserError as `audit_over_depth`."""
    with probe_kernels():
        return analyse(target, Depth(school.depth_alpha), seed=seed)


def report_over_depth(known: Analysis, school: Profile) -> Report:
    """What is told of it."""
    return located(_report(known, school), known.target, known.defined, known.optimizer_made)


def _report(known: Analysis, school: Profile) -> Report:
    target, scaling = known.target, known.scaling
    violations = judge([*scaling.discrepancies, *_settings(known)], school)
    rows, values = activation_rows(scaling, known.prediction)
    unanalysed = tuple(_unread(known))
    axis = target.depths[0]
    return Report(
        version=__version__,
        target=target.label,
        describe=f"{target.label}, {_arguments(target)}, input {target.describe.rpartition(', input ')[2]}",
        width_name=axis.name,
        probes=axis.probes[:2],
        optimizer=target.optimizer_name,
        optimizer_source=target.optimizer_source,
        profile=school.name,
        tensors=tuple(tensor_rows(scaling)),
        activations=rows,
        flow=data_flow(scaling, known.prediction),
        verdict=_verdict(violations, unanalysed),
        violations=violations,
        unanalysed=unanalysed,
        notes=(*target.notes, _held(target), *dict.fromkeys(_of_groups(known))),
        derivations=Derivations(scaling, known.prediction, values, aliases(scaling), "L"),
        axis="depth",
    )


def _settings(known: Analysis) -> list[Discrepancy]:
    """What the user's own optimizer sets besides learning rates, where the stack could be read."""
    target, scaling = known.target, known.scaling
    if target.optimizer_source.startswith("default"):
        return []
    axis = target.depths[0]
    growth = axis.default / axis.probes[0] if axis.default else _GUESSED
    margin = _MARGIN if axis.default else 1.0  # a guessed depth is no ground for a narrow call
    gradients = scaling.aligned.narrow.grad_rms
    return settings_over_depth(scaling.judged, scaling.trained, gradients, growth, margin)


def _arguments(target: Target) -> str:
    """`n_layer 2 → 4`, for every number of blocks."""
    return ", ".join(f"{axis.name} {axis.probes[0]} → {axis.probes[1]}" for axis in target.depths)


def _held(target: Target) -> str:
    return f"held fixed: {', '.join(f'{name} = {size}' for name, size in target.sizes(0).items())}"


def _of_groups(known: Analysis) -> Iterable[str]:
    """What an audit over width finds about the optimizer's groups, whatever grows."""
    for d in known.of_schedule:
        if d.aspect == "group_factor":
            whose = f"neither {d.optimizer} nor a scheduler multiplies by the groups' {d.detail}"
            yield f"{whose}: judged as if the training loop did (muaudit explain MUP308)"
        elif d.aspect != "schedule":
            yield "an audit over width has findings about the groups of the optimizer"


def _unread(known: Analysis) -> Iterable[Unanalysed]:
    """The stacks that could not be read, and what could not be judged in those that could."""
    scaling, stack = known.scaling, known.scaling.program.stack
    assert stack is not None
    for each in stack.unread:
        where = (each.op.file, each.op.line) if each.op is not None else (None, None)
        yield Unanalysed(each.container or "(model)", *where, each.reason, "MUP905")
    for d in (d for d in known.of_schedule if d.aspect == "schedule"):
        reason = "the scheduler changes how learning rates follow depth, which is not judged"
        yield Unanalysed(d.optimizer or "scheduler", d.file, d.line, reason, "MUP905")
    yield from not_analysed(scaling, "depth", "L")


def _verdict(violations: Iterable[Violation], unanalysed: tuple[Unanalysed, ...]) -> Verdict:
    """standard: nothing follows depth; mup: nothing is wrong over it."""
    errors = [v for v in violations if v.severity == "error"]
    if any(v.name == "depth-ignored" for v in errors):
        return "standard"
    return "mixed" if errors else "unknown" if unanalysed else "mup"
