"""Colours and marks of curves in print: told apart in grey, and with any colour blindness. Free of matplotlib."""

from __future__ import annotations

MARKERS = "os^DvPX"
LIGHTEST = 0.78  # of viridis, whose lightness is even: what is lighter is lost on white paper


def shade(place: int, of: int) -> float:
    """Where in viridis the colour of a curve is: the first of several the lightest, the last the darkest."""
    return LIGHTEST * (1 - place / max(1, of - 1))


def marker(place: int) -> str:
    """The mark of its points, matplotlib's name for it."""
    return MARKERS[place % len(MARKERS)]
