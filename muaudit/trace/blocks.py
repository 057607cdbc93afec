"""The blocks that a model repeats, by the names of its parameters, and which of a deeper one stands for which.

A container of blocks is what comes before a number in names, where there are more numbers in the deeper model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

Kind = frozenset[str]  # the names of a block's parameters, within it


@dataclass(frozen=True)
class Blocks:
    """The blocks of one container: their numbers in the first model, and those of their counterparts in the other.

    count: how many there are in the other. A block without a counterpart of its kind is left out of `of`. alone: the
    kinds of which there are no more in the other: the first layer and the last one, where these stand in the same list.
    """

    container: str
    numbers: tuple[int, ...]
    count: int
    of: Mapping[int, int]
    alone: frozenset[Kind] = frozenset()

    def name(self, number: int) -> str:
        return f"{self.container}.{number}" if self.container else str(number)


def block_of(name: str, container: str) -> int | None:
    """The number of the block of a container that a parameter or a module is in; None where it is in none."""
    prefix = f"{container}." if container else ""
    number = name[len(prefix) :].partition(".")[0] if name.startswith(prefix) else ""
    return int(number) if number.isdigit() else None


def in_every_block(name: str, containers: Collection[str]) -> str:
    """A parameter's or a module's name with `*` for the number of the block that it is in."""
    for container in containers:
        number = block_of(name, container)
        if number is not None:
            head = f"{container}." if container else ""
            return f"{head}*{name[len(head) + len(str(number)) :]}"
    return name


def repeated(first: Collection[str], other: Collection[str]) -> tuple[Blocks, ...]:
    """The containers that hold more blocks in the other model, from the names of parameters in both."""
    few, many = _containers(first), _containers(other)
    grown = [container for container in few if len(many.get(container, ())) > len(few[container])]
    outer = [each for each in grown if not any(_inside(each, container) for container in grown)]
    return tuple(
        Blocks(each, tuple(few[each]), len(many[each]), _paired(few[each], many[each]), _alone(few[each], many[each]))
        for each in outer
    )


def _alone(few: Mapping[int, Kind], many: Mapping[int, Kind]) -> frozenset[Kind]:
    here, there = Counter(few.values()), Counter(many.values())
    return frozenset(kind for kind, count in here.items() if there[kind] <= count)


def containers(names: Collection[str]) -> tuple[str, ...]:
    """The modules with several numbered children of one kind, from the names of parameters; outer ones alone."""
    several = [name for name, blocks in _containers(names).items() if 0 < len(set(blocks.values())) < len(blocks)]
    return tuple(each for each in several if not any(_inside(each, other) for other in several))


def standing_alone(names: Collection[str], blocks: Collection[Blocks]) -> frozenset[tuple[str, int]]:
    """The members of containers, by number, that are of a kind of which a deeper model has no more."""
    found = _containers(names)
    return frozenset(
        (each.container, number)
        for each in blocks for number, kind in found.get(each.container, {}).items() if kind in each.alone
    )  # fmt: skip


def renaming(blocks: Collection[Blocks]) -> Callable[[str], str | None]:
    """From names in the other model to those in the first; None for what is in a block that has no counterpart."""
    back = {each.container: {there: here for here, there in each.of.items()} for each in blocks}

    def renamed(name: str) -> str | None:
        for container, numbers in back.items():
            number = block_of(name, container)
            if number is not None:
                if number not in numbers:
                    return None
                head = f"{container}." if container else ""
                return f"{head}{numbers[number]}{name[len(head) + len(str(number)) :]}"
        return name

    return renamed


def _containers(names: Collection[str]) -> dict[str, dict[int, Kind]]:
    """The numbered children of every module that has some, with their kinds."""
    found: dict[str, dict[int, set[str]]] = {}
    for name in names:
        parts = name.split(".")
        for at, part in enumerate(parts[:-1]):
            if part.isdigit():
                below = found.setdefault(".".join(parts[:at]), {}).setdefault(int(part), set())
                below.add(".".join(parts[at + 1 :]))
    return {
        container: {number: frozenset(blocks[number]) for number in sorted(blocks)}
        for container, blocks in found.items()
    }


def _inside(name: str, container: str) -> bool:
    return name != container and block_of(name, container) is not None


def _paired(few: Mapping[int, Kind], many: Mapping[int, Kind]) -> dict[int, int]:
    """Counterparts: of the first half from the front, of the rest from the back, else the nearest one of its kind."""
    here, there = list(few), list(many)
    taken: dict[int, int] = {}
    for place, number in enumerate(here):
        front = place < (len(here) + 1) // 2
        wanted = place if front else len(there) - (len(here) - place)
        free = [at for at in range(len(there)) if many[there[at]] == few[number] and there[at] not in taken.values()]
        if free:
            taken[number] = there[min(free, key=lambda at: abs(at - wanted))]
    return taken
