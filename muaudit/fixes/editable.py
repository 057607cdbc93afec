"""Which findings an edit of the source may mend."""

from __future__ import annotations

from math import isfinite

from ..findings.model import Violation

INITS = ("MUP101", "MUP102", "MUP103", "MUP104", "MUP105")
READOUTS = ("MUP202", "MUP402")
ATTENTION = "MUP201"


def editable(violation: Violation) -> bool:
    """Whether one expression may be the cause: an attention scale, an init, a readout without its factor."""
    power = missing_power(violation)
    return violation.rule in (*INITS, *READOUTS, ATTENTION) and isfinite(power) and power != 0


def missing_power(violation: Violation) -> float:
    """By which exponent the expression is to be multiplied; 0 where that is not known."""
    found, expected = violation.found_exponent, violation.expected_exponent
    return 0.0 if found is None or expected is None else expected - found
