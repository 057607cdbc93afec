"""Names that transformers gives tensors on disk and not in the model: Mixtral's experts one by one, ViT's old names.

Its own mapping says which tensor of the model each becomes, or becomes a part of. All parts of a tensor get its factor,
so that only mappings that move elements are followed; one that splits a stored tensor into several is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

_MOVING = frozenset({
    "Chunk", "Concatenate", "Conv3dToLinear", "Interleave", "LinearToConv3d", "MergeModulelist", "PermuteForRope",
    "Split", "SplitModulelist", "Transpose",
})  # fmt: skip
"""Operations of transformers' loading that only move elements."""


def renaming(model: nn.Module) -> Callable[[str], str]:
    """From a name on disk to that of the model's tensor that it becomes a part of; the name itself where none is."""
    if not any(base.__module__ == "transformers.modeling_utils" for base in type(model).__mro__):
        return lambda name: name
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
    except ImportError:  # before transformers 5, names on disk are the model's
        return lambda name: name
    steps: Any = get_model_conversion_mapping(model)  # type: ignore[arg-type]
    renamings = [step for step in steps if isinstance(step, WeightRenaming)]
    converters = [step for step in steps if isinstance(step, WeightConverter)]
    followed = {id(step): _moves(step) for step in converters}

    def renamed(name: str) -> str:
        found, _ = rename_source_key(name, renamings, converters)
        taken = [step for step in converters if _takes(step, name, renamings, rename_source_key)]
        return found if all(followed[id(step)] for step in taken) else name

    return renamed


def _moves(step: Any) -> bool:
    """Whether one tensor of the model comes out, its elements only moved."""
    moving = all(type(each).__name__ in _MOVING for each in step.operations)
    return moving and len(step.target_patterns) == 1


def _takes(step: Any, name: str, renamings: list[Any], rename: Callable[..., tuple[str, str | None]]) -> bool:
    return rename(name, renamings, [step])[1] is not None


def loaded_from(model: nn.Module, stored: Mapping[str, torch.Tensor]) -> Mapping[str, Any]:
    """The state dict of a model of transformers that its own loading makes of tensors as they are stored."""
    from transformers.utils import logging

    made: Any = type(model)
    bars: Any = logging
    bars.disable_progress_bar()
    try:
        loaded = made.from_pretrained(None, config=model.config, state_dict=dict(stored))
    finally:
        bars.enable_progress_bar()
    return dict(loaded.to(next(model.parameters()).dtype).state_dict())
