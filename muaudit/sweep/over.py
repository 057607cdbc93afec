"""What a sweep is along: widths, depths, or what a run is (TP5, arXiv 2203.03466, Fig. 19). Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from muaudit.errors import UserError
from muaudit.suggest import nearest
from muaudit.training.run_settings import parse_width_list

STEPS = "steps"


@dataclass(frozen=True)
class OverWords:
    """How one is spoken of: several of them, and what more and less of it makes of a model, or of a run."""

    plural: str
    larger: str
    small: str
    large: str


OVER: Mapping[str, OverWords] = {
    "width": OverWords("widths", "wider", "narrow", "wide"),
    "depth": OverWords("depths", "deeper", "shallow", "deep"),
    "batch": OverWords("batches", "a larger batch", "small-batch", "large-batch"),
    "sequence": OverWords("sequences", "a longer sequence", "short-sequence", "long-sequence"),
    STEPS: OverWords("lengths of training", "longer", "short", "long"),
}
"""By the name that reports have for it."""
RUNS = ("batch", "sequence", STEPS)
"""What `--over` takes."""


def parse_over(text: str | None) -> tuple[str, tuple[int, ...]]:
    """`batch=8,16,32`: what, and its ascending sizes; empty where nothing is said. Raises UserError."""
    if text is None:
        return "", ()
    name, equals, values = (part.strip() for part in text.partition("="))
    if not equals:
        raise UserError(f"--over expects NAME=N,N, found {text!r}", "for example --over batch=8,16,32")
    if name not in RUNS:
        raise UserError(f"--over: unknown {name!r}", nearest(name, RUNS, "--over takes"))
    return name, parse_width_list(values, f"--over {name}", "8,16,32")
