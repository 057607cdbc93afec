"""Reduce a failing model: switch off every choice that the failure does not need."""

from __future__ import annotations

from collections.abc import Callable

from .model import generate


def shrink(seed: int, without: frozenset[str], fails: Callable[[frozenset[str]], bool]) -> frozenset[str]:
    """The choices that can be off while `fails` still holds: folders first, then one by one, until none is left."""
    off: frozenset[str] = frozenset()
    while True:
        before = off
        for key in _candidates(seed, off, without):
            if key in off or any(key.startswith(f"{o}/") for o in off):
                continue
            trial = off | {key}
            if fails(trial):
                off = trial
        if off == before:
            return off


def _candidates(seed: int, off: frozenset[str], without: frozenset[str]) -> list[str]:
    """Folders and keys whose choices are not all the plainest, the shallowest first."""
    made = generate(seed, off, without).choices.made
    keys = {key for key, index in made.items() if index and not key.startswith("mistake")}
    folders = {"/".join(parts[:i]) for key in keys for parts in [key.split("/")] for i in range(1, len(parts))}
    folders |= {"/".join(key.split("/")[: i + 1]) for key in keys for i in range(len(key.split("/")))}
    return sorted(folders - {"mistake"}, key=lambda k: (k.count("/"), k))
