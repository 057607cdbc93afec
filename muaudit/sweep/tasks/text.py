"""A character-level language task over text that is on every machine: the sources of Python's standard library."""

from __future__ import annotations

import functools
import hashlib
import sysconfig
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch.nn import functional as F

from ...errors import UserError
from ...targets.probe import Inputs, Target
from .data_and_loss import SweepTask
from .fitting import Call, classified, misfit, narrow_call

CHARACTERS = 2_000_000
HELD_OUT = 0.1
"""The share of the text, at its end, that is not trained on; of it so many characters tell how good a model is:"""
JUDGED_BY = 4096
ALPHABET = 96
"""Token 0 is every character that is not among the most frequent 95."""


def text_task(target: Target, batch_size: int) -> SweepTask:
    """Predict the next character. Raises UserError where the target is no language model."""
    call = narrow_call(target, "text", floating=False)
    length = int(call.first.shape[-1])
    probe = torch.zeros((2, length), dtype=torch.int64)
    keyword = _keyword(call, probe)
    output = call.output(_inputs(probe, probe, keyword))
    if output is None or output.dim() != 3 or tuple(output.shape[:2]) != (2, length):
        found = "nothing" if output is None else f"a tensor of shape {tuple(output.shape)}"
        raise misfit(target, "text", f"{target.label} returned {found}, expected logits (2, {length}, tokens)", call)
    tokens = min(ALPHABET, int(output.shape[-1]))
    if tokens < 16:
        raise misfit(target, "text", f"{target.label} knows {tokens} tokens, expected at least 16", call)
    text, digest = _text()
    data = _encoded(text, tokens)

    trained = int((1 - HELD_OUT) * len(data))

    def drawn(first: int, last: int, sizes: Mapping[str, int], generator: torch.Generator) -> Inputs:
        count, long = sizes.get("batch", batch_size), sizes.get("sequence", length)
        starts = torch.randint(first, last - long - 1, (count, 1), generator=generator)
        rows = data[starts + torch.arange(long + 1)]
        return _inputs(rows[:, :-1].contiguous(), rows[:, 1:].contiguous(), keyword)

    def batches(sizes: Mapping[str, int], seed: int) -> Iterator[Inputs]:
        generator = torch.Generator().manual_seed(0x7E87 + seed)
        while True:
            yield drawn(0, trained, sizes, generator)

    def held_out(sizes: Mapping[str, int]) -> list[Inputs]:
        generator = torch.Generator().manual_seed(0x7E87)
        each = sizes.get("batch", batch_size) * sizes.get("sequence", length)
        return [drawn(trained, len(data), sizes, generator) for _ in range(max(1, round(JUDGED_BY / each)))]

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits.float().reshape(-1, logits.shape[-1]), targets.reshape(-1))

    return SweepTask(
        "text",
        f"characters of Python's standard library, {batch_size} × {length} at a time",
        {"data": "text", "sha256": digest, "batch": batch_size, "length": length, "tokens": tokens, "kept": HELD_OUT},
        batches,
        classified(loss),
        held_out=held_out,
    )


def _keyword(call: Call, probe: torch.Tensor) -> str | None:
    """The keyword for targets, where the model gives logits for all positions with them only."""
    if call.takes_targets is None:
        return None
    without = call.output(_inputs(probe, probe, None))
    complete = without is not None and without.dim() == 3 and without.shape[1] == probe.shape[1]
    return None if complete else call.takes_targets


def _inputs(tokens: torch.Tensor, targets: torch.Tensor, keyword: str | None) -> Inputs:
    return Inputs((tokens,), {keyword: targets} if keyword else {}, {"targets": targets})


@functools.lru_cache(maxsize=1)
def _text() -> tuple[str, str]:
    """The sources in the order of their names, cut, and their digest. Raises UserError where there are none."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    parts: list[str] = []
    size = 0
    for file in sorted(folder.glob("*.py")):
        parts.append(file.read_text(encoding="utf-8", errors="replace"))
        size += len(parts[-1])
        if size >= CHARACTERS:
            break
    if size < 200_000:
        raise UserError(
            f"--data text: Python's standard library has no sources in {folder}", "--data teacher needs none"
        )
    text = "".join(parts)[:CHARACTERS]
    return text, hashlib.sha256(text.encode()).hexdigest()[:16]


def _encoded(text: str, tokens: int) -> torch.Tensor:
    """Every character as its rank by frequency, from 1; the rarest as 0."""
    known = {character: rank for rank, (character, _) in enumerate(Counter(text).most_common(tokens - 1), 1)}
    return torch.tensor([known.get(character, 0) for character in text], dtype=torch.int64)
