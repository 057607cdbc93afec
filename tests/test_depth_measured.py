"""What one small Adam step changes in the stream, measured over depth, against what the audit says of the model."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from models import depth_traps as traps
from torch import nn

from muaudit.thresholds import FLAT_SLOPE


def slopes(make: Callable[[int], traps.Net], trained: str, depths: tuple[int, int] = (8, 32)) -> tuple[float, float]:
    """Exponents in L of the stream before the final norm, and of its change when tensors of this name take a step."""
    sizes = []
    for depth in depths:
        start = change = 0.0
        for seed in range(3):
            torch.manual_seed(seed)
            net, seen = make(depth).double(), []
            net.norm.register_forward_pre_hook(lambda module, given, seen=seen: seen.append(given[0].detach()))
            ids, y = torch.randint(0, traps.VOCAB, (2, 2, 12))
            chosen = [p for name, p in net.named_parameters() if trained in name]
            nn.functional.cross_entropy(net(ids).flatten(0, 1), y.flatten()).backward()
            torch.optim.Adam(chosen, lr=1e-8, eps=1e-30).step()
            net(ids)
            start += float(seen[0].square().mean().sqrt())
            change += float((seen[1] - seen[0]).square().mean().sqrt())
        sizes.append((start, change))
    unit = math.log(depths[1] / depths[0])
    first, second = (math.log(sizes[1][at] / sizes[0][at]) / unit for at in (0, 1))
    return first, second


RIGHT = {"1/L": traps.completep, "a constant that goes to 1": traps.skip_with_limit}
WRONG: dict[str, tuple[Callable[[int], traps.Net], str]] = {
    "nothing": (traps.plain, "blocks"),
    "1/sqrt(2L) at init": (traps.root_in_init, "blocks"),
    "1/sqrt(L)": (traps.root_branches, "blocks"),
    "layer scale": (traps.layer_scale(lambda depth: 1 / depth), "gamma"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_where_the_audit_is_clean_the_stream_stays_and_changes_alike(name: str) -> None:
    assert max(map(abs, slopes(RIGHT[name], "blocks"))) < FLAT_SLOPE


@pytest.mark.parametrize("name", WRONG)
def test_where_it_is_not_the_change_of_the_stream_grows(name: str) -> None:
    assert slopes(*WRONG[name])[1] > FLAT_SLOPE


def test_the_embedding_in_every_block_makes_the_stream_grow_with_their_number() -> None:
    assert abs(slopes(traps.embedding_into_every_block(0.0), "blocks")[0] - 1.0) < FLAT_SLOPE
    assert abs(slopes(traps.embedding_into_every_block(-1.0), "blocks")[0]) < FLAT_SLOPE
