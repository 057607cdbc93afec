"""Labels beside the ends of lines, far enough from each other to be read."""

from __future__ import annotations

from collections.abc import Sequence


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Places between 0 and 1 moved as little as it takes to be `gap` apart, in the same order."""
    order = sorted(range(len(places)), key=lambda number: places[number])
    blocks: list[tuple[float, list[int]]] = []  # centre and members; neighbours that touch become one
    for number in order:
        blocks.append((places[number], [number]))
        while len(blocks) > 1 and _reach(blocks[-2], gap)[1] + gap > _reach(blocks[-1], gap)[0]:
            (_, below), (_, above) = blocks[-2:]
            members = below + above
            blocks[-2:] = [(sum(places[each] for each in members) / len(members), members)]
    moved = list(places)
    for centre, members in blocks:
        for rank, number in enumerate(members):
            moved[number] = centre + (rank - (len(members) - 1) / 2) * gap
    return moved


def _reach(block: tuple[float, list[int]], gap: float) -> tuple[float, float]:
    half = (len(block[1]) - 1) / 2 * gap
    return block[0] - half, block[0] + half
