"""A target seen along what a run is: its batch, its sequences, or how long it trains, with one and the same model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from .probe import Inputs, Target, WidthAxis


def along_run(target: Target, name: str, values: tuple[int, ...]) -> Target:
    """The target with this in place of its widths, which keep the sizes of the first probe. values: ascending."""
    fixed = target.sizes(0)
    build, inputs, data, optimizer, kept = (
        target.build, target.inputs, target.data, target.optimizer, target.held_out,
    )  # fmt: skip

    def drawn(sizes: Mapping[str, int], seed: int) -> Iterator[Inputs]:
        assert data is not None
        return data(fixed, seed)

    def held_out(sizes: Mapping[str, int]) -> list[Inputs]:
        assert kept is not None
        return kept(fixed)

    describe = f"{target.label}, {name} {values[0]} → {values[1]}"
    return replace(
        target, axes=(WidthAxis(name, values),), depths=(), describe=describe,
        build=lambda sizes, seed: build(fixed, seed), inputs=lambda sizes: inputs(fixed),
        optimizer=lambda model, sizes: optimizer(model, fixed), data=None if data is None else drawn,
        held_out=None if kept is None else held_out, own=None,
    )  # fmt: skip
