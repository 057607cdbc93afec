"""Tables 8 and 9 as moves from Table 3 (TP5 Lemma J.1): which tensors are stored larger or smaller.

Forward multipliers, put on modules as hooks, make up for it.

| formulation | input weights, biases, gains  | output weights    |
|-------------|-------------------------------|-------------------|
| table3      | as they are                   | as they are       |
| table8      | as they are                   | stored × fan_in   |
| table9      | stored × 1/sqrt(fan_out)      | stored × sqrt(fan_in) |

Over depth (m_L blocks for one, α that of the school), where a branch adds as much as m_L^-α says:

| formulation | last weights of a branch | the rest of it    |
|-------------|--------------------------|-------------------|
| table3      | carry m_L^-α             | as they are       |
| table8      | as they are              | as they are       |
| table9      | stored × m_L^(1/2 - α)   | the same          |

Table 8 is CompleteP's and Depth-µP's own form, a constant behind every branch. Table 9 has the base's learning rate of
SGD everywhere, as it has over width: that of a branch is m_L^(2α - 1) in Table 8, and moves by the square of a factor.

A constant that the model's code has already stays where it is and counts; a tensor that no module hook can multiply
alone keeps the form it has in Table 3, which trains the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..program.use import Use
from .modules import SMALL
from .multipliers import Hooks

VECTOR_LIKE = ("input", "bias", "gain", "positional")


def wanted(formulation: str, stored: Mapping[str, float], uses: Mapping[str, list[Use]]) -> dict[str, float]:
    """By tensor: the exponent by which the formulation stores it larger than Table 3 does, where it does.

    stored: the exponent that a tensor's aligned entries have now (0 for input weights, −1 for output weights).
    """
    target = _TARGETS.get(formulation)
    if target is None:
        return {}
    found: dict[str, float] = {}
    for name, phi in stored.items():
        move = target(phi, uses[name])
        if abs(move) > SMALL:
            found[name] = move
    return found


def carried_by_tensors(formulation: str) -> bool:
    """Whether what blocks add less is in their last weights, with no constant in the forward."""
    return formulation not in _TARGETS


def _table8(phi: float, uses: list[Use]) -> float:
    if all(use.alpha is not None for use in uses):
        return max(0.0, -phi)
    return max(0.0, -phi) if _is_output(uses) else 0.0


def _table9(phi: float, uses: list[Use]) -> float:
    if all(use.alpha is not None for use in uses):
        return 0.5 - (uses[0].alpha or 0.0) - phi
    if _is_output(uses):
        return max(0.0, -max(use.e_in for use in uses) / 2 - phi)
    if any(use.role in VECTOR_LIKE for use in uses) and all(use.role != "hidden" for use in uses):
        size = max(use.e_out for use in uses if use.role in VECTOR_LIKE)
        return min(0.0, -size / 2 - phi)
    return 0.0


_TARGETS: dict[str, Callable[[float, list[Use]], float]] = {"table8": _table8, "table9": _table9}


def _is_output(uses: list[Use]) -> bool:
    return all(use.role == "output" for use in uses)


def move(hooks: Hooks, moves: Mapping[str, float], note: str) -> dict[str, float]:
    """Put the multipliers for these moves; returns those that have a place, tensors of one module together."""
    possible = {name: exponent for name, exponent in moves.items() if hooks.homes.get(name)}
    while True:
        opposite = {name: -exponent for name, exponent in possible.items()}
        factors = {module: anatomy.factors(opposite) for module, anatomy in hooks.anatomies.items()}
        stuck = {name for name in possible if any(factors.get(module) is None for module in hooks.homes[name])}
        if not stuck:
            break
        possible = {name: exponent for name, exponent in possible.items() if name not in stuck}
    for module, pair in factors.items():
        if pair is not None:
            hooks.on_module(module, pair, note)
    return possible
