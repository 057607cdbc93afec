"""Published configurations made of others (an encoder's and a decoder's): every part made small, at one ratio."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from muaudit.targets.shrink import FIRST, HEAD, WIDTHS, Shrunk, limits, shrink

_MAIN = ("decoder", "text", "global")
_VISION = ("vision", "encoder")


def width_field(config: Any) -> str:
    """The field of a config that holds the hidden size; empty where there is none."""
    fields = vars(config)
    own = config.attribute_map.get("hidden_size", "hidden_size")
    return next((name for name in (own, *WIDTHS) if isinstance(fields.get(name), int)), "")


def parts_of(config: Any) -> dict[str, Any]:
    """The configs inside a config that have a width, or parts with one, by the name of their field."""
    inside = {name: value for name, value in vars(config).items() if hasattr(value, "attribute_map")}
    return {name: part for name, part in inside.items() if width_field(part) or parts_of(part)}


def composed(config: Any, vision: bool = False) -> Shrunk | None:
    """A config made of parts, made small: the decoder's hidden size is the width where it has none of its own.

    vision: the model reads images alone, so that the width is that of the vision part.
    """
    parts = parts_of(config)
    own = width_field(config)
    if not parts or own:
        return with_parts(shrink(vars(config), own), config) if parts else None
    likes = _VISION if vision else _MAIN
    main = next((name for like in likes for name in parts if name.startswith(like)), next(reversed(parts)))
    inner = composed(parts[main]) or shrink(vars(parts[main]), width_field(parts[main]))
    around = Shrunk(f"{main}.{inner.width}", inner.published, lambda size: dict(limits(vars(config))), ())
    return with_parts(around, config)


def with_parts(around: Shrunk, config: Any) -> Shrunk:
    """`around`, the small config without its parts, with these made small too: each keeps its ratio to the width."""
    makers = {name: _part(part, around.published) for name, part in parts_of(config).items()}

    def overrides(size: int) -> dict[str, Any]:
        return around.overrides(size) | {name: make(size) for name, make in makers.items()}

    note = f"{', '.join(makers)}: made small alike, at {'their' if len(makers) > 1 else 'its'} ratio to {around.width}"
    return replace(around, overrides=overrides, notes=(*around.notes, note))


def _part(part: Any, published: int) -> Callable[[int], Mapping[str, Any]]:
    small = composed(part) or shrink(vars(part), width_field(part))
    first = max(1, round(FIRST * small.published / published / HEAD)) * HEAD  # whole heads
    given = {name: value for name, value in part.to_dict().items() if name not in ("torch_dtype", "dtype")}
    given = {name: value for name, value in given.items() if name not in small.derived}
    return lambda size: given | small.overrides(max(1, first * size // FIRST))
