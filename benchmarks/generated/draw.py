"""Choices, each drawn from its own key: switching one off leaves all others as they are."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Choices:
    """What was chosen, and what is switched off: keys, or folders of keys, for which the first option is taken."""

    seed: int
    off: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()  # options that are never taken, wherever they stand
    made: dict[str, int] = field(default_factory=dict)  # key → index of the option, 0 the plainest
    said: dict[str, object] = field(default_factory=dict)

    def is_off(self, key: str) -> bool:
        parts = key.split("/")
        return any("/".join(parts[: i + 1]) in self.off for i in range(len(parts)))


@dataclass(frozen=True)
class Draw:
    """Draws by name within a folder of keys. The first option is the plainest: shrinking goes towards it."""

    choices: Choices
    folder: str = ""

    def sub(self, name: str) -> Draw:
        return Draw(self.choices, f"{self.folder}{name}/")

    def __call__(self, name: str, *options: T, weights: Iterable[float] | None = None) -> T:
        """One of `options`; `weights` are their relative frequencies."""
        key = self.folder + name
        index = 0
        if not self.choices.is_off(key):
            stream = random.Random(f"{self.choices.seed}/{key}")
            chances = list(weights) if weights is not None else [1.0] * len(options)
            chances = [0.0 if o in self.choices.without else c for o, c in zip(options, chances, strict=True)]
            chances[0] = chances[0] if any(chances) else 1.0
            index = stream.choices(range(len(options)), chances)[0]
        self.choices.made[key], self.choices.said[key] = index, options[index]
        return options[index]

    def chance(self, name: str, probability: float) -> bool:
        """True with this probability; plainest is False."""
        return self(name, False, True, weights=(1 - probability, probability))
