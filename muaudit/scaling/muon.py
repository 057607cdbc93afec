"""Orthogonalised updates: by which power of its shape each implementation scales the learning rate.

An orthogonalised update has spectral norm 1; the spectral condition (arXiv 2310.17813) wants sqrt(fan_out/fan_in).
With a and b the exponents of a parameter's rows and columns, implementations multiply by

- original: sqrt(max(1, A/B)), exponent max(0, a − b) / 2. Keller Jordan's Muon, torch's default.
- rms: 0.2·sqrt(max(A, B)), exponent max(a, b) / 2. Moonlight (2502.16982), torch's match_rms_adamw, Dion's rms_norm.
- spectral: sqrt(fan_out/fan_in), exponent (a − b) / 2. Dion's spectral_norm, Scion.
- none: 1, exponent 0.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

_NAMED = {
    "original": "original", "match_rms_adamw": "rms", "rms_norm": "rms", "spectral_norm": "spectral",
    "spectral": "spectral", "none": "none",
}  # fmt: skip
_ORIGINAL = re.compile(r"max\(\s*1(\.0*)?\s*,")
_RMS = re.compile(r"(sqrt\(\s*|\(?)max\([^()]*(\([^()]*\)[^()]*)*\)(\)|\s*\*\*\s*(0?\.5|\(1\s*/\s*2\)))")
_OTHERS = ("adam", "adamw", "lion", "sgd")


def is_muon_group(group: Mapping[str, Any]) -> bool:
    """Whether a group of an optimizer that mixes Muon with another method takes part in Muon."""
    if group.get("use_muon") is False:
        return False
    return str(group.get("algorithm", "muon")).lower() not in _OTHERS


def mode_of(optimizer: Any, group: Mapping[str, Any]) -> str:
    """The scale mode, by the group's option, else by what the implementation's source says; "" where neither tells."""
    for key in ("adjust_lr_fn", "adjust_lr"):
        if key in group:
            chosen = group[key]
            if chosen is None:
                return "original" if key == "adjust_lr_fn" else "none"  # torch's and Dion's meaning of None
            return _NAMED.get(str(chosen).lower(), "")
    if "use_adjusted_lr" in group:  # pytorch_optimizer
        return "rms" if group["use_adjusted_lr"] else "original"
    return _by_source(type(optimizer))


def _by_source(cls: type) -> str:
    if hasattr(cls, "adjust_lr_for_muon"):  # Moonlight
        return "rms"
    try:
        module = inspect.getmodule(cls)
        source = inspect.getsource(module) if module is not None else inspect.getsource(cls)
    except (OSError, TypeError):
        return ""
    if "newtonschulz" not in source.lower().replace("_", ""):
        return ""
    if _ORIGINAL.search(source):
        return "original"
    return "rms" if _RMS.search(source) else "none"


def adjustment(mode: str, dims: Sequence[float]) -> float:
    """The exponent of the factor for a parameter with these dims, rows first; further dims count as columns."""
    if len(dims) == 3:  # a stack of matrices
        dims = dims[1:]
    rows, columns = (dims[0] if dims else 0.0), sum(dims[1:])
    if mode == "rms":
        return max(rows, columns) / 2
    if mode == "spectral":
        return (rows - columns) / 2
    return max(0.0, rows - columns) / 2 if mode == "original" else 0.0
