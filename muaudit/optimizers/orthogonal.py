"""Orthogonalised updates: by which power of its shape each implementation scales the learning rate.

An orthogonalised update has spectral norm 1; the spectral condition (arXiv 2310.17813) wants sqrt(fan_out/fan_in).
With a and b the exponents of a parameter's rows and columns, implementations multiply by

- original: sqrt(max(1, A/B)), exponent max(0, a − b) / 2. Keller Jordan's Muon, torch's default.
- rms: 0.2·sqrt(max(A, B)), exponent max(a, b) / 2. Moonlight (2502.16982), torch's match_rms_adamw, Dion's rms_norm.
- spectral: sqrt(fan_out/fan_in), exponent (a − b) / 2. Dion's spectral_norm, Scion.
- none: 1, exponent 0.

`OPTIONS` says which of these an option of an implementation stands for; of one without such an option, its source does.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .registry import named

MODES = ("original", "none", "rms", "spectral")


@dataclass(frozen=True)
class Option:
    """A value of a param group's setting, and the mode that it stands for in the implementation that has it."""

    implementation: str
    key: str
    value: object
    mode: str


OPTIONS = (
    Option("torch.optim.Muon", "adjust_lr_fn", None, "original"),
    Option("torch.optim.Muon", "adjust_lr_fn", "original", "original"),
    Option("torch.optim.Muon", "adjust_lr_fn", "match_rms_adamw", "rms"),
    Option("timm.optim.Muon", "adjust_lr_fn", "rms_to_rms", "spectral"),
    Option("microsoft/dion", "adjust_lr", None, "none"),
    Option("microsoft/dion", "adjust_lr", "spectral_norm", "spectral"),
    Option("microsoft/dion", "adjust_lr", "rms_norm", "rms"),
    Option("NVIDIA-NeMo/Emerging-Optimizers, Megatron", "scale_mode", "shape_scaling", "original"),
    Option("NVIDIA-NeMo/Emerging-Optimizers, Megatron", "scale_mode", "spectral", "rms"),
    Option("NVIDIA-NeMo/Emerging-Optimizers, Megatron", "scale_mode", "unit_rms_norm", "spectral"),
    Option("pytorch_optimizer.Muon", "use_adjusted_lr", True, "rms"),
    Option("pytorch_optimizer.Muon", "use_adjusted_lr", False, "original"),
)
"""Read off each implementation's source; a value that its own does not list is not guessed."""

_ORIGINAL = re.compile(r"max\(\s*1(\.0*)?\s*,")
_RMS = re.compile(r"(sqrt\(\s*|\(?)max\([^()]*(\([^()]*\)[^()]*)*\)(\)|\s*\*\*\s*(0?\.5|\(1\s*/\s*2\)))")


def family_in(group: Mapping[str, Any]) -> str:
    """The family that trains a group of an optimizer that mixes Muon with others, by the keys that such classes have.

    `use_muon` (Keller Jordan's: the rest is Adam's) and `algorithm` (Dion's).
    """
    if group.get("use_muon") is False:
        return "adam"
    found = named(str(group.get("algorithm", "muon")))
    return "muon" if found is None else found[0].name


def mode_of(optimizer: Any, group: Mapping[str, Any]) -> str:
    """The scale mode, by the group's option, else by what the implementation's source says; "" where neither tells."""
    for key in dict.fromkeys(option.key for option in OPTIONS):
        if key in group:
            return next((o.mode for o in OPTIONS if o.key == key and o.value == _plain(group[key])), "")
    return _by_source(type(optimizer))


def _plain(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


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
