"""Residual models that differ from a plain stack of pre-norm branches in one way each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

BASE, WIDTH, VOCAB, LENGTH = 2, 24, 40, 12


def batch() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(0, VOCAB, (2, LENGTH))


class Branch(nn.Module):
    """norm → up → gelu → down; m: the depth multiplier, of which `factor` makes the constant behind it."""

    def __init__(self, m: float = 1.0, power: float = 0.0, std: float = 1.0, norm: bool = True) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH) if norm else nn.Identity()
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.factor = m**power
        with torch.no_grad():
            self.down.weight.mul_(std)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.gelu(self.up(self.norm(x)))) * self.factor


class Net(nn.Module):
    """An embedding, a stack, a norm, a readout; `step(x, block, x0, number)` is what the loop over blocks does."""

    def __init__(self, blocks: list[nn.Module], step: Callable[..., Any], norm: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(WIDTH) if norm else nn.Identity()
        self.head = nn.Linear(WIDTH, VOCAB)
        self.step = step

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x0 = x = self.embed(ids)
        for number, block in enumerate(self.blocks):
            x = self.step(x, block, x0, number)
        return self.head(self.norm(x))


def added(x: torch.Tensor, block: nn.Module, x0: torch.Tensor, number: int) -> torch.Tensor:
    return x + block(x)


def plain(depth: int) -> Net:
    return Net([Branch() for _ in range(depth)], added)


def completep(depth: int) -> Net:
    return Net([Branch(depth / BASE, -1.0) for _ in range(depth)], added)


def root_in_init(depth: int) -> Net:
    return Net([Branch(std=1 / math.sqrt(2 * depth)) for _ in range(depth)], added)


def root_in_init_beside_multiplier(depth: int) -> Net:
    return Net([Branch(depth / BASE, -1.0, 1 / math.sqrt(2 * depth)) for _ in range(depth)], added)


def root_branches(depth: int) -> Net:
    """1/sqrt(L) on branches, and one learning rate for everything."""
    return Net([Branch(depth / BASE, -0.5) for _ in range(depth)], added)


def init_by_place(depth: int) -> Net:
    return Net([Branch(depth / BASE, -1.0, 1 / math.sqrt(1 + place)) for place in range(depth)], added)


def init_by_place_alone(depth: int) -> Net:
    return Net([Branch(std=1 / math.sqrt(1 + place)) for place in range(depth)], added)


def constant_by_place(depth: int) -> Net:
    return Net([Branch() for _ in range(depth)], lambda x, block, x0, number: x + block(x) / (1 + number))


def post_norm(depth: int) -> Net:
    norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(depth))
    net = Net([Branch(norm=False) for _ in range(depth)], lambda x, block, x0, number: norms[number](x + block(x)))
    net.norms = norms
    return net


class Sandwich(nn.Module):
    """A norm behind the branch as well, before or after its factor."""

    def __init__(self, m: float, before: bool, affine: bool) -> None:
        super().__init__()
        self.branch, self.after = Branch(), nn.LayerNorm(WIDTH, elementwise_affine=affine)
        self.m, self.before = m, before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.before:
            return self.after(self.branch(x) / self.m)
        return self.after(self.branch(x)) / self.m


def sandwich(before: bool, affine: bool) -> Callable[[int], Net]:
    return lambda depth: Net([Sandwich(depth / BASE, before, affine) for _ in range(depth)], added)


def skip_scaled(depth: int) -> Net:
    blocks: list[nn.Module] = [Branch(depth / BASE, -1.0) for _ in range(depth)]
    return Net(blocks, lambda x, block, x0, number: 0.9 * x + block(x))


def skip_with_limit(depth: int) -> Net:
    blocks: list[nn.Module] = [Branch(depth / BASE, -1.0) for _ in range(depth)]
    return Net(blocks, lambda x, block, x0, number: (1 - 1 / (2 * depth)) * x + block(x))


class Gained(nn.Module):
    def __init__(self, m: float) -> None:
        super().__init__()
        self.branch, self.skip = Branch(m, -1.0), nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.skip * x + self.branch(x)


def skip_gain(depth: int) -> Net:
    return Net([Gained(depth / BASE) for _ in range(depth)], lambda x, block, x0, number: block(x))


class Scaled(nn.Module):
    """LayerScale (arXiv 2103.17239) that starts at `start`."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.branch, self.gamma = Branch(), nn.Parameter(torch.full((WIDTH,), start))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gamma * self.branch(x)


def layer_scale(start: Callable[[int], float]) -> Callable[[int], Net]:
    return lambda depth: Net([Scaled(start(depth)) for _ in range(depth)], added)


def embedding_into_every_block(power: float) -> Callable[[int], Net]:
    def build(depth: int) -> Net:
        m = depth / BASE
        blocks: list[nn.Module] = [Branch(m, -1.0) for _ in range(depth)]
        return Net(blocks, lambda x, block, x0, number: x + x0 * m**power + block(x))

    return build


def loop(depth: int) -> Net:
    """The same weights, again and again."""
    net = Net([Branch()], added)
    net.times = depth

    def step(x: torch.Tensor, block: nn.Module, x0: torch.Tensor, number: int) -> torch.Tensor:
        for _ in range(depth):
            x = x + block(x) / depth
        return x

    net.step = step
    return net


class Mixer(nn.Module):
    """The other kind of block of a hybrid."""

    def __init__(self, m: float, power: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.conv, self.out = nn.Conv1d(WIDTH, WIDTH, 3, padding=1), nn.Linear(WIDTH, WIDTH)
        self.factor = m**power

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.silu(self.conv(self.norm(x).transpose(1, 2)).transpose(1, 2))
        return self.out(y) * self.factor


def hybrid(power: float) -> Callable[[int], Net]:
    """Every fourth block is another one, with a factor of m^power."""

    def build(depth: int) -> Net:
        m = depth / 4
        kinds = [Mixer(m, power) if place % 4 == 3 else Branch(m, -1.0) for place in range(depth)]
        return Net(kinds, added)

    return build


def first_and_last_differ(depth: int) -> Net:
    m = depth / 4
    middle: list[nn.Module] = [Branch(m, -1.0) for _ in range(depth - 2)]
    return Net([Mixer(m, -1.0), *middle, Mixer(m, -1.0)], added)


def odd_one_out(depth: int) -> Net:
    """The first block has no factor."""
    return Net([Branch(depth / BASE, -1.0 if place else 0.0) for place in range(depth)], added)


class Parallel(nn.Module):
    def __init__(self, m: float) -> None:
        super().__init__()
        self.norm, self.a, self.b = nn.LayerNorm(WIDTH), Branch(norm=False), Mixer(1.0, 0.0)
        self.m = m

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        return x + (self.a(y) + self.b(y)) / self.m


def parallel(depth: int) -> Net:
    return Net([Parallel(depth / BASE) for _ in range(depth)], lambda x, block, x0, number: block(x))


class Shallow(nn.Module):
    """A branch of one layer."""

    def __init__(self, m: float, power: float) -> None:
        super().__init__()
        self.norm, self.layer, self.factor = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), m**power

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.layer(self.norm(x))) * self.factor


def shallow(power: float) -> Callable[[int], Net]:
    return lambda depth: Net([Shallow(depth / BASE, power) for _ in range(depth)], added)


class Residual(nn.Module):
    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x)


def in_one_list(power: float) -> Callable[[int], nn.Module]:
    """Embedding, blocks, norm and readout are one nn.Sequential."""

    def build(depth: int) -> nn.Module:
        blocks = [Residual(Branch(depth / BASE, power)) for _ in range(depth)]
        return nn.Sequential(nn.Embedding(VOCAB, WIDTH), *blocks, nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCAB))

    return build


def no_skip(depth: int) -> Net:
    return Net([Branch() for _ in range(depth)], lambda x, block, x0, number: block(x))


class Dense(nn.Module):
    """Every block reads what all before it have made, side by side (DenseNet)."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.blocks = nn.ModuleList(nn.Linear(WIDTH * (1 + place), WIDTH) for place in range(depth))
        self.head = nn.Linear(WIDTH * (1 + depth), VOCAB)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        made = [self.embed(ids)]
        for block in self.blocks:
            made.append(F.relu(block(torch.cat(made, dim=-1))))
        return self.head(torch.cat(made, dim=-1))


class Hyper(nn.Module):
    """Two streams that every block mixes (hyper-connections, arXiv 2409.19606)."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Embedding(VOCAB, WIDTH), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCAB)
        self.blocks = nn.ModuleList(Branch() for _ in range(depth))
        self.mix = nn.ParameterList(nn.Parameter(torch.eye(2)) for _ in range(depth))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        streams = torch.stack([x, x], dim=-1)
        for block, mix in zip(self.blocks, self.mix, strict=True):
            streams = streams @ mix
            streams = streams + block(streams.sum(-1))[..., None]
        return self.head(self.norm(streams.sum(-1)))


class Stacked(nn.Module):
    """The weights of all blocks in one tensor."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(VOCAB, WIDTH), nn.Linear(WIDTH, VOCAB)
        self.weights = nn.Parameter(torch.randn(depth, WIDTH, WIDTH) / WIDTH**0.5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for weight in self.weights:
            x = x + torch.tanh(x @ weight) / len(self.weights)
        return self.head(x)


class Staged(nn.Module):
    """Stages of blocks with a layer between them, as in a hierarchical vision model."""

    def __init__(self, depths: tuple[int, ...], power: float) -> None:
        super().__init__()
        m = depths[0] / BASE
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.between = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in depths)
        self.stages = nn.ModuleList(nn.Sequential() for _ in depths)
        for stage, depth in zip(self.stages, depths, strict=True):
            for _ in range(depth):
                stage.append(Branch(m, power))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCAB)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for stage, between in zip(self.stages, self.between, strict=True):
            for block in stage:
                x = x + block(x)
            x = between(x)
        return self.head(self.norm(x))


def attention_scaled_by_depth(depth: int) -> Net:
    return Net([Attending(depth) for _ in range(depth)], added)


class Attending(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.norm, self.qkv, self.proj = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.m = depth / BASE

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        logits = q @ k.transpose(-2, -1) / math.sqrt(WIDTH) / self.m
        return self.proj(logits.softmax(-1) @ v) / self.m
