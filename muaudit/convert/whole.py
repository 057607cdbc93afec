"""The model to train rather than the small one that is probed: every size that was cut down, put back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..errors import UserError
from ..targets.options import TargetOptions
from ..targets.probe import Target

_CUT = re.compile(r"([A-Za-z_][\w.]*) (\d+) → (\d+)")


def sizes_at(target: Target, width: int) -> dict[str, int]:
    """All width arguments at a main width: the model's own sizes where that is its own width, else in proportion."""
    main = target.axes[0]
    if width == main.default and all(axis.default for axis in target.axes):
        return {axis.name: int(axis.default or 0) for axis in target.axes}
    return {axis.name: axis.probes[0] * width // main.probes[0] for axis in target.axes}


def cut(target: Target) -> dict[str, int]:
    """Arguments that were made smaller for the audit, with their own values; empty when the model is whole."""
    found = [match for note in target.notes if not note.startswith("--width") for match in _CUT.findall(note)]
    return {name: int(before) for name, before, after in found if int(before) > int(after)}


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
    smaller: Mapping[str, int] = cut(target)
    if not smaller:
        return target, ""
    own = replace(options, set={**smaller, **options.set})
    try:
        found = _first(resolve, [own, replace(own, widths={})], [axis.name for axis in target.axes])
    except UserError as error:
        return None, f"the whole model cannot be built here: {error.message.splitlines()[0]}"
    left = cut(found)
    if left:
        return None, f"the audited model is smaller than yours ({', '.join(left)})"
    return found, ""
