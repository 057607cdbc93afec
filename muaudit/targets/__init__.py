"""From TARGET on the command line, or functions in Python, to a `Target` that builds the model at any width.

Importing this costs nothing: torch comes with the first target that is resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from muaudit.targets.options import InputSpec, TargetOptions, parse_inputs, parse_lr_groups, parse_set, parse_widths
from muaudit.targets.probe import Inputs, Target, WidthAxis
from muaudit.targets.resolution import resolve_target

__all__ = [
    "InputSpec",
    "Inputs",
    "Target",
    "TargetOptions",
    "WidthAxis",
    "from_functions",
    "parse_inputs",
    "parse_lr_groups",
    "parse_set",
    "parse_widths",
    "resolve",
]


def resolve(text: str | None, options: TargetOptions | None = None) -> Target:
    """The target that `text` names: `file.py`, `file.py:Name`, `package.module:Name`, or a Hugging Face config.

    Without a text it is the one auditable file in the working directory. Raises UserError where it cannot be decided
    or driven.
    """
    return resolve_target(text, options or TargetOptions())


def from_functions(
    build: Callable[..., Any],
    batch: Callable[..., Any] | None = None,
    loss: Callable[..., Any] | None = None,
    optimizer: Callable[..., Any] | str | None = None,
    widths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    name: str | None = None,
    options: TargetOptions | None = None,
    scheduler: Callable[..., Any] | None = None,
    batches: Callable[..., Any] | None = None,
    init: Callable[..., Any] | None = None,
    depths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    held_out: Callable[..., Any] | None = None,
) -> Target:
    """A target from Python functions, each as in a spec: `build(width) -> nn.Module`, `batch(width)`,
    `batches(width, seed)`, `loss(output, batch)`, `optimizer(model)` or an optimizer's name, `scheduler(optimizer)`,
    `init(model)`, `held_out(width)`.

    Raises:
        UserError: they do not work together.
    """
    from muaudit.targets.spec import target_from_functions

    return target_from_functions(
        build, batch, loss, optimizer, widths, name, options or TargetOptions(), scheduler, batches, init, depths,
        held_out,
    )  # fmt: skip
