"""`2^-12..2^-4`, `1e-4..1e-2:9`, `0.9,0.95`: values on the command line. Free of torch."""

from __future__ import annotations

import math
import re

from muaudit.errors import UserError

_POWER = re.compile(r"(?P<base>\d+(?:\.\d+)?)(?:\^|\*\*)(?P<exponent>[-+]?\d+(?:\.\d+)?)")
MOST = 1000
_EXAMPLE = "for example 2^-12..2^-4 (factors of two), 1e-4..1e-2:9 (nine values) or 1e-4,3e-4,1e-3"


def parse_values(text: str, where: str, *, zero: bool = False) -> tuple[float, ...]:
    """Ascending values. `A..B` goes in factors of two, `A..B:N` in N equal factors, a list is taken as it is.

    zero: whether a list may hold 0.

    Raises:
        UserError: the text is empty or malformed, a value is not positive, or a value comes twice.
    """
    if not text.strip():
        raise UserError(f"{where} expects values, found nothing", _EXAMPLE)
    found: list[float] = []
    for part in text.split(","):
        found += _span(part, where) if ".." in part else [_number(part, where, text)]
    if any(value < 0 or (value == 0 and not zero) for value in found):
        raise UserError(f"{where} expects positive values, found {text!r}", _EXAMPLE)
    if len(set(found)) < len(found):
        raise UserError(f"{where} names a value twice: {text}", _EXAMPLE)
    if len(found) > MOST:
        raise UserError(f"{where} {text} holds {len(found)} values, expected at most {MOST}")
    return tuple(sorted(found))


def ends(text: str, where: str) -> tuple[float, float]:
    """The smallest and the largest number in `1e-4..1e-1`, as they stand there. Raises UserError as `parse_values`."""
    values = parse_values(text, where)
    spans = [part.partition(":")[0] for part in text.split(",") if ".." in part]
    return values[0], max(values[-1], *(_number(span.partition("..")[2], where, span) for span in spans))


def shown(value: float) -> str:
    """`2^-7` for a power of two, else at most four digits."""
    if value > 0:
        exponent = math.log2(value)
        if abs(exponent - round(exponent)) < 1e-9 and not 0.05 < value < 20:
            return f"2^{round(exponent)}"
    return f"{value:.4g}"


def _span(part: str, where: str) -> list[float]:
    ends, colon, count = part.partition(":")
    first, _, last = ends.partition("..")
    low, high = _number(first, where, part), _number(last, where, part)
    if not 0 < low < high:
        raise UserError(f"{where} expects a range from a positive value up to a larger one, found {part!r}", _EXAMPLE)
    steps = math.log2(high / low)
    if not colon:
        return [low * 2.0**step for step in range(math.floor(steps + 1e-9) + 1)]
    if not count.strip().isdigit() or not 2 <= int(count) <= MOST:
        raise UserError(f"{where} {part!r} expects a number of values of at least 2 after the colon", _EXAMPLE)
    return [low * 2.0 ** (steps * step / (int(count) - 1)) for step in range(int(count))]


def _number(text: str, where: str, whole: str) -> float:
    match = _POWER.fullmatch(text.strip())
    try:
        value = float(match["base"]) ** float(match["exponent"]) if match else float(text)
    except (ValueError, OverflowError):
        raise UserError(f"{where} expects numbers, found {text.strip()!r} in {whole!r}", _EXAMPLE) from None
    if not math.isfinite(value):
        raise UserError(f"{where} expects finite numbers, found {text.strip()!r} in {whole!r}", _EXAMPLE)
    return value
