"""microsoft/mup's base shape files: YAML, per parameter the base size of every dim that is a width, null for others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from ..errors import UserError
from .bsh import BaseShapes, read_bsh
from .probe import Target
from .skeleton import skeleton

_HEADER = """\
# Base shapes for microsoft/mup: set_base_shapes(model, "{name}"). Of {target}, {width_name} = {base}.
# null: a dim that is no width; a number: the size of a width dim at the base width.
"""


def base_shapes(target: Target, base_width: int) -> dict[str, tuple[int | None, ...]]:
    """The target's, from the shapes it has at the base width and at twice that width; no weights are made.

    Raises:
        UserError: the target cannot be built at these widths.
    """
    base, delta = (skeleton(target, width).shapes for width in (base_width, 2 * base_width))
    return {
        name: tuple(size if size != other else None for size, other in zip(shape, delta[name], strict=True))
        for name, shape in base.items()
    }


def bsh_text(target: Target, base_width: int, name: str) -> str:
    """The file for the target."""
    header = _HEADER.format(name=name, target=target.label, width_name=target.axes[0].name, base=base_width)
    data = {key: list(dims) for key, dims in base_shapes(target, base_width).items()}
    return header + yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=200)


@dataclass(frozen=True)
class BaseFile:
    """A base shape file and the base width that it stands for."""

    path: Path
    width: int


def base_of(path: Path, target: Target) -> BaseFile:
    """The base width of a target's .bsh file, every dim of it compared with the target's.

    Raises:
        UserError: the file is none, or is for another model; every difference is named.
    """
    given = read_bsh(path)
    axis = target.axes[0]
    narrow = base_shapes(target, axis.probes[0])
    width = _width(path, given, narrow, axis.probes[0])
    own = base_shapes(target, width)
    differences = [
        f"  {name}: {_shown(given.get(name))} in the file, {_shown(own.get(name))} in the model"
        for name in dict.fromkeys([*own, *given])
        if given.get(name) != own.get(name)
    ]
    if differences:
        more = [f"  and {len(differences) - 8} more"] if len(differences) > 8 else []
        raise UserError(
            f"{path} has not the base shapes of this model at {axis.name} = {width}",
            "\n".join([*differences[:8], *more, "null marks a dim that is no width; --emit-bsh writes the right file"]),
        )
    return BaseFile(path, width)


def _width(path: Path, given: BaseShapes, narrow: BaseShapes, size: int) -> int:
    """What the width argument was at the base: from the first dim that is the width itself."""
    for name, dims in narrow.items():
        for dim, base in zip(dims, given.get(name, ()), strict=False):
            if dim == size and base is not None:
                return base
    raise UserError(f"{path} is for another model: none of its width dims is this model's width")


def _shown(dims: tuple[int | None, ...] | None) -> str:
    return "nothing" if dims is None else "[" + ", ".join("null" if dim is None else str(dim) for dim in dims) + "]"
