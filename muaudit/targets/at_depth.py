"""A target built with a number of blocks of its own choice wherever none is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from ..errors import UserError
from .probe import Inputs, Own, Target


def at_depths(target: Target, depths: Mapping[str, int]) -> Target:
    """The target with so many blocks at every width; sizes that name another number of them win."""
    build, inputs, data, optimizer = target.build, target.inputs, target.data, target.optimizer

    def built(sizes: Mapping[str, int], seed: int) -> nn.Module:
        return build({**depths, **sizes}, seed)

    def given(sizes: Mapping[str, int]) -> Inputs:
        return inputs({**depths, **sizes})

    def drawn(sizes: Mapping[str, int], seed: int) -> Iterator[Inputs]:
        assert data is not None
        return data({**depths, **sizes}, seed)

    def trained(model: nn.Module, sizes: Mapping[str, int]) -> Any:
        return optimizer(model, {**depths, **sizes})

    kept = target.held_out

    def held_out(sizes: Mapping[str, int]) -> list[Inputs]:
        assert kept is not None
        return kept({**depths, **sizes})

    own = None if target.own is None else _own_at(target.own, depths)
    return replace(
        target, build=built, inputs=given, optimizer=trained, own=own, data=None if data is None else drawn,
        held_out=None if kept is None else held_out,
    )  # fmt: skip


def _own_at(own: Own, depths: Mapping[str, int]) -> Own:
    return Own(lambda sizes, seed: own.build({**depths, **sizes}, seed), lambda sizes: own.inputs({**depths, **sizes}))


def along_depth(target: Target) -> Target:
    """The target with its numbers of blocks in place of its widths, which keep the sizes of the first probe.

    Raises:
        UserError: it has no argument that is a number of blocks.
    """
    if not target.depths:
        raise UserError(f"{target.label} has no argument that looks like a number of blocks",
                        "name the one that is: --depths NAME=2,4,8")  # fmt: skip
    held, sizes = at_depths(target, target.sizes(0)), target.depths
    shown = ", ".join(f"{axis.name} {axis.probes[0]} → {axis.probes[1]}" for axis in sizes)
    describe = f"{target.label}, {shown}, input {target.describe.rpartition(', input ')[2]}"
    return replace(held, axes=sizes, depths=(), describe=describe)


def along_both(target: Target, depths: Mapping[int, int]) -> Target:
    """The target with a number of blocks for every width: the main one's, by its size.

    Raises:
        UserError: it has no argument that is a number of blocks; where one is built, a width that has none.
    """
    along_depth(target)
    main = target.axes[0].name
    build, inputs, data, optimizer = target.build, target.inputs, target.data, target.optimizer

    def sized(sizes: Mapping[str, int]) -> dict[str, int]:
        width = sizes[main]
        near = min(depths, key=lambda known: abs(known - width))
        return {**depths_at(target, depths[near]), **sizes}

    def drawn(sizes: Mapping[str, int], seed: int) -> Iterator[Inputs]:
        assert data is not None
        return data(sized(sizes), seed)

    kept = target.held_out

    def held_out(sizes: Mapping[str, int]) -> list[Inputs]:
        assert kept is not None
        return kept(sized(sizes))

    return replace(
        target, build=lambda sizes, seed: build(sized(sizes), seed), inputs=lambda sizes: inputs(sized(sizes)),
        optimizer=lambda model, sizes: optimizer(model, sized(sizes)), data=None if data is None else drawn,
        held_out=None if kept is None else held_out,
    )  # fmt: skip


def depths_at(target: Target, depth: int) -> dict[str, int]:
    """All numbers of blocks at a main one: the model's own where that is its own, else in proportion.

    Raises:
        UserError: one of them is then no whole number.
    """
    main = target.depths[0]
    if depth == main.default and all(axis.default for axis in target.depths):
        return {axis.name: int(axis.default or 0) for axis in target.depths}
    found = {}
    for axis in target.depths:
        found[axis.name], rest = divmod(axis.probes[0] * depth, main.probes[0])
        if rest or not found[axis.name]:
            raise UserError(f"{main.name} {depth} gives no whole number for {axis.name}, which grows with it",
                            f"name the one that grows alone: --depth {main.name}={depth}")  # fmt: skip
    return found
