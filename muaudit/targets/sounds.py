"""Sounds as they are recorded, where a forward makes spectrograms of them itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from torch import nn

from muaudit.targets.options import InputSpec
from muaudit.targets.readers import forward_of, given_first
from muaudit.targets.source import nodes_of

_FRONT = re.compile(r"spectrogram|mfcc|stft|fbank|filterbank", re.IGNORECASE)
_SAMPLES = 16_384
"""A second at 16 kHz: a hundred frames of the usual 10 ms."""


def sounds(model: nn.Module, argument: str, rows: int) -> Iterator[tuple[tuple[str, int], InputSpec]]:
    """Waveforms for an argument that a transform without parameters reads: `(rows, samples)`, then with a channel."""
    if _makes_spectrograms(model, argument):
        yield ("sound", 2), InputSpec("float32", (rows, _SAMPLES))
        yield ("sound", 3), InputSpec("float32", (rows, 1, _SAMPLES))


def _makes_spectrograms(model: nn.Module, argument: str) -> bool:
    front = given_first(model, argument)
    if front is not None:
        kinds = [type(each).__name__ for each in front.modules()]
        return next(front.parameters(), None) is None and any(map(_FRONT.search, kinds))
    forward = forward_of(model)
    calls = [node for node in nodes_of(forward) if isinstance(node, ast.Call)] if forward is not None else []
    return any(
        ast.unparse(call.func) == "torch.stft" and bool(call.args) and ast.unparse(call.args[0]) == argument
        for call in calls
    )
