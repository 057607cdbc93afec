"""The model to train rather than the small one that is probed: every size that was cut down, put back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import UserError
from .options import TargetOptions
from .probe import Target


def sizes_at(target: Target, width: int) -> dict[str, int]:
    """All width arguments at a main width: the model's own sizes where that is its own width, else in proportion."""
    main = target.axes[0]
    if width == main.default and all(axis.default for axis in target.axes):
        return {axis.name: int(axis.default or 0) for axis in target.axes}
    return {axis.name: axis.probes[0] * width // main.probes[0] for axis in target.axes}


def _first(
    resolve: Callable[[TargetOptions], Target], attempts: Sequence[TargetOptions], axes: Sequence[str]
) -> Target:
    """The first attempt that has these width arguments: given probe widths may fit the small model alone."""
    failed: UserError | None = None
    for options in attempts:
        try:
            found = resolve(options)
        except UserError as error:
            failed = failed or error
            continue
        if [axis.name for axis in found.axes] == list(axes):
            return found
    raise failed or UserError("it has other width arguments than the audited one")


def whole(
    target: Target, options: TargetOptions, resolve: Callable[[TargetOptions], Target]
) -> tuple[Target | None, str]:
    """The target with nothing made smaller, or None and why there is none."""
    if target.own is not None:
        return replace(target, build=target.own.build, inputs=target.own.inputs, notes=()), ""
    if not target.cut:
        return target, ""
    own = replace(options, set={**target.cut, **options.set})
    try:
        found = _first(resolve, [own, replace(own, widths={})], [axis.name for axis in target.axes])
    except UserError as error:
        return None, f"the whole model cannot be built here: {error.message.splitlines()[0]}"
    if found.cut:
        return None, f"the audited model is smaller than yours ({', '.join(found.cut)})"
    return found, ""
