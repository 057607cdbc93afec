"""What a function of the API is given as a target: a file and a name, or Python functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..targets import Target, TargetOptions, from_functions, resolve
from ..targets.options import check_init, parse_inputs, parse_lr_groups, parse_optimizer_kinds

Given = str | Path | Callable[..., Any]
"""`model.py`, `model.py:GPT`, `package.module:GPT` or a Hugging Face config; or `build(width)`, a model class."""
Texts = Mapping[str, object] | Sequence[str] | str
"""Of an option that is repeatable: a mapping, or `NAME=VALUE` as the command line takes it, once or more."""


def target_of(given: Given, options: TargetOptions, functions: Mapping[str, Any]) -> Target:
    """The target. functions: batch, loss, optimizer, scheduler, widths, depths and init, for `build(width)`.

    Raises:
        UserError: it cannot be built or driven.
    """
    if isinstance(given, (str, Path)):
        return resolve(str(given), options)
    init = functions.get("init")
    return from_functions(given, options=options, **{**functions, "init": None if isinstance(init, str) else init})


def options_of(
    widths: Sequence[int] | Mapping[str, Sequence[int]] | None, set_: Mapping[str, Any] | None, optimizer: Any,
    depths: Sequence[int] | Mapping[str, Sequence[int]] | None = None, *, init: Any = None, no_init: bool = False,
    input_: Texts = (), lr_group: Texts = (), optimizer_kind: Texts = (), bsh: Path | str | None = None,
) -> TargetOptions:  # fmt: skip
    """How a target is probed, as the command line's options say it. Raises UserError."""
    check_init(getattr(init, "__name__", init), no_init)
    named = {name: tuple(sizes) for name, sizes in widths.items()} if isinstance(widths, Mapping) else {}
    name = optimizer if isinstance(optimizer, str) else None
    deeper = {name: tuple(sizes) for name, sizes in depths.items()} if isinstance(depths, Mapping) else {}
    return TargetOptions(
        widths=named, set=dict(set_ or {}), optimizer=name, depths=deeper,
        init=init if isinstance(init, str) else None, no_init=no_init, inputs=parse_inputs(_texts(input_)),
        lr_groups=parse_lr_groups(_texts(lr_group)), optimizer_kinds=parse_optimizer_kinds(_texts(optimizer_kind)),
        bsh=None if bsh is None else Path(bsh),
    )  # fmt: skip


def _texts(given: Texts) -> list[str]:
    """As the command line takes them."""
    if isinstance(given, Mapping):
        return [f"{name}={value}" for name, value in given.items()]
    return [given] if isinstance(given, str) else list(given)
