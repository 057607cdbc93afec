"""Arguments that stay fixed while width grows: guessed where they have no default, made small where they are large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from muaudit.errors import MissingValuesError, UserError
from muaudit.targets import names
from muaudit.targets.arguments import MISSING, Leaf
from muaudit.targets.options import TargetOptions

_KEPT_DEPTH, _DEPTH = 6, 2
_LIMITS = ((names.DEPTH, _KEPT_DEPTH, _DEPTH), (names.VOCAB, 1024, 512), (names.LENGTH, 2048, 256))
"""Names, the largest value that is kept, and what a larger one becomes."""


def plan_fixed(knobs: Mapping[str, Leaf], options: TargetOptions, shrink: bool) -> tuple[dict[str, Any], list[str]]:
    """Values for the arguments that do not grow, and notes. Raises UserError for what cannot be guessed."""
    fixed: dict[str, Any] = dict(options.set)
    guessed, smaller, dropped = [], [], []
    for name, leaf in knobs.items():
        short = name.rpartition(".")[2]
        if name in fixed or name in options.widths:
            continue
        if leaf.value is MISSING:
            value = _guess(short)
            if value is None:
                continue
            fixed[name] = value
            guessed.append(f"{name}={value!r}")
        elif names.is_dropout(short) and isinstance(leaf.value, float) and leaf.value > 0:
            fixed[name] = 0.0
            dropped.append(name)
        elif shrink and (small := _limited(short, leaf.value)) is not None:
            fixed[name] = small
            smaller.append(f"{name} {leaf.value} → {small}")
    return fixed, _notes(guessed, smaller, dropped)


def unguessable(knobs: Mapping[str, Leaf], known: Mapping[str, Any]) -> list[str]:
    """The required arguments that nothing is known about."""
    return [name for name, leaf in knobs.items() if leaf.value is MISSING and name not in known]


def missing_values(missing: list[str], label: str, spec: str) -> UserError:
    """The error for arguments that nothing is known about. spec: what is known, to be completed."""
    flags = " ".join(f"--set {name}=..." for name in missing)
    return MissingValuesError(
        f"{label} needs a value for {', '.join(missing)}: there is no default, and none could be guessed",
        f"give it with {flags}, or paste this into the file with a value in place of every `...`:\n\n{spec}\n",
        missing,
    )


def recut(notes: tuple[str, ...], changed: Mapping[str, tuple[int, int, int]]) -> tuple[str, ...]:
    """The notes with other small sizes: name → (the model's own, what they say, what they shall say)."""
    for name, (own, said, now) in changed.items():
        old, new = f"{name} {own} → {said}", f"{name} {own} → {now}"
        if own == now:
            notes = tuple(note.replace(f"{old}, ", "").replace(f", {old}", "").replace(old, "") for note in notes)
        notes = tuple(note.replace(old, new) for note in notes)
    return tuple(note for note in notes if not note.startswith("made small: ;"))


def _guess(name: str) -> Any:
    """A guess for a required argument, unless it is a width, which is no fixed argument."""
    widths = names.WIDTH + names.FEEDFORWARD + names.ATTENTION_WIDTH
    return None if names.rank(name, widths) is not None else names.guess(name)


def _limited(name: str, value: Any) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    for table, largest, small in _LIMITS:
        if names.rank(name, table) is not None and value > largest:
            return small
    return None


def _notes(guessed: list[str], smaller: list[str], dropped: list[str]) -> list[str]:
    notes = []
    if smaller:
        notes.append(f"made small: {', '.join(smaller)}; --set NAME=VALUE keeps another size")
    if guessed:
        notes.append(f"guessed, for want of a default: {', '.join(guessed)}; --set NAME=VALUE says otherwise")
    if dropped:
        notes.append(f"dropout is off: {', '.join(dropped)} set to 0")
    return notes
