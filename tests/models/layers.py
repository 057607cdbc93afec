"""Layers under test in small models: torch's own, einsum with any subscripts, positions, attention whose heads grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architectures import CLASSES, FEATURES, HEAD, Middle

LENGTH = 10


class SelfAttention(nn.Module):
    """`nn.MultiheadAttention` between an input layer and a readout, with weights returned or not."""

    def __init__(self, width: int, heads: int, weights: bool) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Linear(FEATURES, width), nn.LayerNorm(width), nn.Linear(width, CLASSES)
        self.attention, self.weights = nn.MultiheadAttention(width, heads, batch_first=True), weights

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.embed(x))
        return self.head(self.norm(h + self.attention(h, h, h, need_weights=self.weights)[0]))


class Cells(nn.Module):
    """A recurrent layer with options, read out at every step."""

    def __init__(self, width: int, cell: Callable[..., nn.Module], **options: Any) -> None:
        super().__init__()
        self.embed = nn.Linear(FEATURES, width)
        self.cell = cell(width, width, batch_first=True, **options)
        out = options.get("proj_size") or width * (2 if options.get("bidirectional") else 1)
        self.head = nn.Linear(out, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(self.embed(x))[0])


class Einsum(nn.Module):
    """A layer that is one einsum of its input with parameters of these shapes, of std 1/sqrt(fan_in)."""

    def __init__(self, subscripts: str, *shapes: tuple[int, ...], fan_in: int, split: tuple[int, int] | None = None):
        super().__init__()
        self.subscripts, self.split = subscripts, split
        self.weights = nn.ParameterList(torch.randn(shape) / fan_in**0.5 for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.split is None else x.unflatten(-1, self.split)
        out = torch.einsum(self.subscripts, x, *self.weights)
        return out if out.dim() == 2 else out.flatten(1)


EINSUMS: dict[str, tuple[Callable[[int], nn.Module], str]] = {
    "(in, out)": (lambda n: Einsum("bi,io->bo", (n, n), fan_in=n), "layer.weights.*"),
    "(out, in)": (lambda n: Einsum("bi,oi->bo", (n, n), fan_in=n), "layer.weights.*"),
    "any leading dims": (lambda n: Einsum("...i,oi->...o", (n, n), fan_in=n), "layer.weights.*"),
    "out as heads": (lambda n: Einsum("bi,ihd->bhd", (n, n // HEAD, HEAD), fan_in=n), "layer.weights.*"),
    "in as heads": (
        lambda n: Einsum("bhd,hdo->bo", (n // HEAD, HEAD, n), fan_in=n, split=(n // HEAD, HEAD)), "layer.weights.*",
    ),
    "three operands": (lambda n: Einsum("bi,ij,jk->bk", (n, n), (n, n), fan_in=n), "layer.weights.*"),
    # a matrix of fixed size for every head: its fan_in is finite, so a constant std and learning rate are right
    "a matrix a head, more heads": (
        lambda n: Einsum("bhd,hde->bhe", (n // HEAD, HEAD, HEAD), fan_in=HEAD, split=(n // HEAD, HEAD)), "",
    ),
    "a matrix a head, wider heads": (
        lambda n: Einsum("bhd,hde->bhe", (4, n // 4, n // 4), fan_in=n // 4, split=(4, n // 4)), "layer.weights.*",
    ),
}  # fmt: skip


def einsum(name: str) -> Callable[[int], nn.Module]:
    return lambda width: Middle(width, EINSUMS[name][0](width))


class DotProduct(nn.Module):
    """Two towers and the inner product of what they make, times n^power."""

    def __init__(self, width: int, power: float) -> None:
        super().__init__()
        self.left, self.right, self.scale = nn.Linear(FEATURES, width), nn.Linear(FEATURES, width), width**power

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bi,ci->bc", torch.tanh(self.left(x)), torch.tanh(self.right(x))) * self.scale


class Positions(nn.Module):
    """Attention over heads of a fixed size, told about positions: `learned`, `rotary` or `rotary, complex`."""

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        self.kind, self.heads = kind, width // HEAD
        self.embed, self.norm, self.head = nn.Linear(FEATURES, width), nn.LayerNorm(width), nn.Linear(width, CLASSES)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        if kind == "learned":
            self.table = nn.Embedding(LENGTH, width)
        angles = torch.outer(torch.arange(LENGTH), 100.0 ** -(torch.arange(0, HEAD, 2) / HEAD))
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles))

    def turned(self, x: Tensor) -> Tensor:
        if self.kind == "learned":
            return x
        if self.kind == "rotary, complex":
            pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
            return torch.view_as_real(pairs * self.turns).flatten(-2)
        cos, sin = (torch.cat([part, part], -1) for part in (self.turns.real, self.turns.imag))
        first, second = x.chunk(2, -1)
        return x * cos + torch.cat([-second, first], -1) * sin

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        if self.kind == "learned":
            x = x + self.table(torch.arange(LENGTH))
        q, k, v = (z.unflatten(-1, (-1, HEAD)).transpose(1, 2) for z in self.qkv(self.norm(x)).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(self.turned(q), self.turned(k), v)
        return self.head(self.norm(x + self.out(mixed.transpose(1, 2).flatten(2))))


class WiderHeads(nn.Module):
    """Attention over four heads that grow with the width, with a logit of `logits(q, k)`."""

    def __init__(self, width: int, logits: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Linear(FEATURES, width), nn.LayerNorm(width), nn.Linear(width, CLASSES)
        self.qkv, self.out, self.logits = nn.Linear(width, 3 * width), nn.Linear(width, width), logits

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        q, k, v = (z.unflatten(-1, (4, -1)).transpose(1, 2) for z in self.qkv(self.norm(x)).chunk(3, -1))
        mixed = self.logits(q, k).softmax(-1) @ v
        return self.head(self.norm(x + self.out(mixed.transpose(1, 2).flatten(2))))


def _dot(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-1, -2)


# logits, and whether they are right when the size of a head grows
LOGITS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], bool]] = {
    "1/sqrt(d)": (lambda q, k: _dot(q, k) / q.shape[-1] ** 0.5, False),
    "1/d": (lambda q, k: _dot(q, k) / q.shape[-1], True),
    "capped, 1/sqrt(d)": (lambda q, k: 30 * torch.tanh(_dot(q, k) / q.shape[-1] ** 0.5 / 30), False),
    "capped, 1/d": (lambda q, k: 30 * torch.tanh(_dot(q, k) / q.shape[-1] / 30), True),
    # normalised over the head to entries of size 1, the sum of d aligned products is d; to length 1, it is a cosine
    "norm, 1/sqrt(d)": (
        lambda q, k: _dot(*(F.layer_norm(z, z.shape[-1:]) for z in (q, k))) / q.shape[-1] ** 0.5, False,
    ),
    "norm, 1/d": (lambda q, k: _dot(*(F.rms_norm(z, z.shape[-1:]) for z in (q, k))) / q.shape[-1], True),
    "cosine": (lambda q, k: 10 * _dot(*(F.normalize(z, dim=-1) for z in (q, k))), True),
}  # fmt: skip


class GroupedExperts(nn.Module):
    """Each row through one of four experts, rows sorted by expert, by one grouped product."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.router, self.head = nn.Linear(FEATURES, width), nn.Linear(width, 4), nn.Linear(width, CLASSES)
        self.up = nn.Parameter(torch.randn(4, width, 2 * width) / width**0.5)
        self.down = nn.Parameter(torch.randn(4, 2 * width, width) / (2 * width) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.embed(x))
        gate, chosen = self.router(x).softmax(-1).max(-1)
        order = chosen.argsort()
        ends = torch.bincount(chosen, minlength=4).cumsum(0).to(torch.int32)
        made = torch._grouped_mm(F.gelu(torch._grouped_mm(x[order], self.up, offs=ends)), self.down, offs=ends)
        return self.head(x + torch.zeros_like(x).index_add(0, order, made * gate[order, None]))


class Heads(nn.Module):
    """Several readouts of one normalised value, none of them scaled, all of a constant std."""

    def __init__(self, width: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.embed, self.hidden, self.norm = nn.Linear(FEATURES, width), nn.Linear(width, width), norm(width)
        self.policy, self.value, self.extra = nn.Linear(width, CLASSES), nn.Linear(width, CLASSES), nn.Linear(width, 1)
        for layer in (self.policy, self.value, self.extra):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.hidden(F.relu(self.embed(x))))
        return (self.policy(h) + self.value(h)) / 2 + self.extra(h)


class StandardisedConv(nn.Module):
    """A convolution whose weight is standardised by `F.batch_norm`, then normalised (arXiv 1903.10520)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Conv1d(FEATURES, width, 1), nn.GroupNorm(4, width), nn.Linear(width, 5)
        self.conv = nn.Conv1d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.conv.weight
        weight = F.batch_norm(weight.reshape(1, weight.shape[0], -1), None, None, training=True).reshape_as(weight)
        h = F.relu(self.embed(x.transpose(1, 2)))
        return self.head(F.relu(self.norm(F.conv1d(h, weight, padding=1))).mean(-1))


class ScaledForward(torch.autograd.Function):
    """Forward times `factor`, gradients as they are: the two scales of unit scaling, each set on its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        return x * factor

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class ScaledReadout(nn.Module):
    """A readout times 64/n forwards, and times 1 backwards."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.layer = nn.Linear(FEATURES, width), nn.Linear(width, width)
        self.head, self.factor = nn.Linear(width, CLASSES, bias=False), 64 / width

    def forward(self, x: Tensor) -> Tensor:
        return ScaledForward.apply(self.head(F.relu(self.layer(F.relu(self.embed(x))))), self.factor)


class Dropped(nn.Module):
    """Something computed and never read, and something that only chooses."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.hidden, self.head = nn.Linear(FEATURES, width), nn.Linear(width, width), nn.Linear(width, 5)
        self.pooler, self.indexer = nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.hidden(F.relu(self.embed(x))))
        torch.tanh(self.pooler(h))
        best = self.indexer(h).squeeze(-1).topk(2).indices
        return self.head(h[best])


class Clipped(nn.Module):
    """A hidden weight clipped in place before it is used, to a range that it is within, or is not."""

    def __init__(self, width: int, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.embed, self.hidden, self.head = nn.Linear(FEATURES, width), nn.Linear(width, width), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        self.hidden.weight.data.clamp_(-self.limit, self.limit)
        return self.head(F.relu(self.hidden(F.relu(self.embed(x)))))


class Cycles(nn.Module):
    """One hidden layer run again and again, without gradients all but the last time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.hidden, self.head = nn.Linear(FEATURES, width), nn.Linear(width, width), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.embed(x))
        with torch.no_grad():
            h = F.relu(self.hidden(F.relu(self.hidden(h))))
        return self.head(F.relu(self.hidden(h + self.embed(x))))
