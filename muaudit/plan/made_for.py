"""The model that a plan was made for, beside names and shapes: its heads and blocks, and its optimizer's settings.

A plan speaks for one family of models. Another number of heads is another attention factor, another depth another
rate at the base width: a plan says nothing there, and refuses rather than to be applied.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from torch import nn

from ..errors import UserError
from ..findings.names import pattern_of
from ..optimizers.several import parts
from ..targets.argnames import HEAD_DIM, HEADS, KV_HEADS
from .patterns import plain_name

_HEAD_NAMES = frozenset((*HEADS, *KV_HEADS, *HEAD_DIM))


@dataclass(frozen=True)
class MadeFor:
    """What is known of the model; what is left out is not.

    heads: numbers that modules (and configs on them) hold, by pattern: "4" where it stays, "n/16" where it grows.
    blocks: how many blocks repeat under a module: 12, or "L" of a depth L, "L/4", "2L". settings: of the target's own
    optimizer, where they are not the defaults of its class.
    """

    heads: Mapping[str, str]
    blocks: Mapping[str, int | str]
    settings: Mapping[str, Any]

    def in_words(self) -> str:
        """`n_head 4 fixed, 12 × transformer.h, betas (0.9, 0.95)`."""
        heads = [f"{name} {text if text.startswith('n') else text + ' fixed'}" for name, text in self.heads.items()]
        blocks = [f"{count} × {name}" for name, count in self.blocks.items() if count != 1]
        settings = [f"{name} {value}" for name, value in self.settings.items()]
        return ", ".join([*heads, *blocks, *settings])

    def refuse_other(self, model: nn.Module, width: int, cut: Mapping[str, Any] | None = None, depth: int = 1) -> None:
        """Raise UserError for a model with other heads or blocks, as far as its modules say.

        cut: arguments that were made smaller in `model`, with what they are in the model that is meant.
        """
        meant = dict(cut or {})
        rows = list(self._other_heads(head_numbers(model), width, meant))
        rows += [] if meant else self._other_blocks(model, depth)
        if rows:
            raise UserError(
                "this plan is for another model:\n" + "\n".join(f"  {row}" for row in rows),
                "make one for this model with muaudit convert (--set NAME=VALUE sets its arguments)",
            )

    def _other_heads(self, found: Mapping[str, set[int]], width: int, meant: Mapping[str, Any]) -> Iterator[str]:
        smaller = not _HEAD_NAMES.isdisjoint(name.rpartition(".")[2] for name in meant)  # and so of another number
        ratios = _ratios(found, meant)
        for name, text in self.heads.items():
            grows = text.startswith("n/")
            expected = width / int(text[2:]) if grows else int(text)
            values = found.get(name, set())
            if name.rpartition(".")[2] in meant:
                values = set() if grows else {meant[name.rpartition(".")[2]]}
            elif smaller:  # key-value heads, say, where none are given, are as many as there are heads
                derived = not ratios or all(any(value * r == expected for r in ratios) for value in values)
                values = set() if grows or derived else values
            if values - {expected}:
                now = " and ".join(map(str, sorted(values)))
                yield f"{name} is {now}, the plan is for {expected:g}" + (f" = {text}" if grows else "")

    def _other_blocks(self, model: nn.Module, depth: int) -> Iterator[str]:
        counts = block_counts(plain_name(name) for name, _ in model.named_parameters())
        for name, known in self.blocks.items():
            count = blocks_at(known, depth)
            if counts.get(name, count) != count:
                of = f" = {known}" if isinstance(known, str) else ""
                yield f"{name} holds {counts[name]} blocks, the plan is for {count}{of}"

    def other_settings(self, group: Mapping[str, Any]) -> Iterator[str]:
        """In words, the settings of a param group that are not the target's own; eps is the plan's to scale."""
        for name, value in self.settings.items():
            if name not in ("eps", "weight_decay") and name in group and not _alike(group[name], value):
                yield f"{name} {group[name]}, the target's own is {value}"


def _ratios(found: Mapping[str, set[int]], meant: Mapping[str, Any]) -> set[Fraction]:
    """By how much larger the numbers that were made smaller are in the model that is meant."""
    by_name = [(meant.get(name.rpartition(".")[2]), values) for name, values in found.items()]
    return {Fraction(own, value) for own, values in by_name if isinstance(own, int) for value in values if value}


def blocks_at(count: int | str, depth: int) -> int:
    """A number of blocks at a depth L: `12`, or what `L`, `L/4` and `2L` say."""
    if isinstance(count, int):
        return count
    times, _, over = count.partition("L")
    return int(times or 1) * depth // int(over.removeprefix("/") or 1)


def in_depth(count: int, depth: int) -> str:
    """A number of blocks in a model of this depth as a multiple or a fraction of it."""
    share = Fraction(count, depth)
    times, over = share.numerator, share.denominator
    return (f"{times}L" if times != 1 else "L") + (f"/{over}" if over != 1 else "")


def _alike(found: Any, expected: Any) -> bool:
    listed = [tuple(each) if isinstance(each, list) else each for each in (found, expected)]
    return bool(listed[0] == listed[1])


def own_settings(optimizer: Any, filled: Collection[str] = ()) -> dict[str, Any]:
    """The settings that an optimizer was made with where these are not its class's defaults, and all groups agree.

    filled: those that were put in for want of a value, which say nothing.
    """
    found: dict[str, Any] = {}
    for part in parts(optimizer):
        defaults = inspect.signature(type(part)).parameters
        for name in part.defaults.keys() & defaults.keys() - {"lr", "params", *filled}:
            values = {_hashable(group.get(name)) for group in part.param_groups}
            values -= {0.0} if name == "weight_decay" else set()
            if len(values) == 1 and _is_plain(value := values.pop()) and value != defaults[name].default:
                found[name] = value
    return dict(sorted(found.items()))


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value if _is_plain(value) else None


def _is_plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str)) or (
        isinstance(value, tuple) and all(isinstance(each, (int, float)) for each in value)
    )


def head_numbers(model: nn.Module) -> dict[str, set[int]]:
    """Numbers of heads and their sizes that modules hold as attributes, by the pattern of where."""
    found: dict[str, set[int]] = {}
    for path, value in _numbers(model):
        found.setdefault(pattern_of(path), set()).add(value)
    return found


def _numbers(model: nn.Module) -> Iterator[tuple[str, int]]:
    """Of a config that many modules hold, as those of transformers do, only where the first one holds it."""
    known: set[int] = set()
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            path = f"{name}.{key}" if name else key
            if key in _HEAD_NAMES:
                yield from _whole(path, value)
            elif (key == "config" or key.endswith("cfg") or key == "args") and id(value) not in known:
                known.add(id(value))
                held = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
                for inner in _HEAD_NAMES & held.keys():
                    yield from _whole(f"{path}.{inner}", held[inner])


def _whole(path: str, value: Any) -> Iterator[tuple[str, int]]:
    if isinstance(value, int) and not isinstance(value, bool):
        yield path, value


def block_counts(names: Iterable[str]) -> dict[str, int]:
    """How many numbered modules each list of modules holds, by the pattern of its name."""
    numbers: dict[str, set[str]] = {}
    for name in names:
        parts = name.split(".")
        for place, part in enumerate(parts):
            if part.isdecimal() and place:
                numbers.setdefault(pattern_of(".".join(parts[:place])), set()).add(part)
    return {pattern: len(found) for pattern, found in numbers.items()}
