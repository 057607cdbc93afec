"""Constants in the forward: matrices that nobody trains, and a power of the width on a line of its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .architectures import CLASSES, FEATURES


class Fixed(nn.Module):
    """A constant matrix `make(width)`, from the left or the right, between an input layer and a trained one."""

    def __init__(self, width: int, make: Callable[[int], Tensor], left: bool) -> None:
        super().__init__()
        self.left = left
        self.register_buffer("matrix", make(width))
        self.embed, self.hidden, self.head = nn.Linear(FEATURES, width), nn.Linear(width, width), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.embed(x))
        mixed = (self.matrix @ h.T).T if self.left else h @ self.matrix
        return self.head(torch.relu(self.hidden(torch.relu(mixed))))


class Grown(nn.Module):
    """A power of the width between a bounded function and another, with no parameter in reach."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factor = width**0.5
        self.embed, self.hidden, self.head = (
            nn.Linear(FEATURES, width), nn.Linear(width, width), nn.Linear(width, CLASSES),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        h = torch.sigmoid(self.hidden(torch.tanh(self.embed(x))))
        grown = h * self.factor
        total = grown + torch.tanh(self.embed(x))
        return self.head(torch.sin(total))


class TwoStreams(nn.Module):
    """One table of positions in two streams, each through a layer of its own; `factor` on the first stream alone."""

    def __init__(self, width: int, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.left, self.right = nn.Linear(FEATURES, width), nn.Linear(FEATURES, width)
        self.norm, self.positions = nn.LayerNorm(width), nn.Parameter(torch.randn(width))
        self.first, self.second = (nn.Linear(width, width) for _ in range(2))
        self.head = nn.Linear(2 * width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        a, b = (self.left(x) + self.positions) * self.factor, self.right(x) + self.positions
        a, b = a + self.first(self.norm(a)), b + self.second(self.norm(b))
        return self.head(torch.cat([self.norm(a), self.norm(b)], -1))


class Complex(nn.Module):
    """A hidden layer of complex numbers whose real and imaginary parts have these stds."""

    def __init__(self, width: int, real: float, imaginary: float) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES)
        parts = torch.randn(width, width) * real, torch.randn(width, width) * imaginary
        self.weight = nn.Parameter(torch.complex(*parts))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.embed(x)).to(torch.cfloat) @ self.weight
        return self.head(torch.tanh(torch.view_as_real(h).sum(-1)))


class Gated(nn.Module):
    """Squeeze and excitation, then `factor`, then a residual layer: the factor is behind a product of activations."""

    def __init__(self, width: int, factor: float) -> None:
        super().__init__()
        self.factor, self.m = factor, width / 64
        self.embed, self.norm = nn.Conv1d(FEATURES, width, 1), nn.BatchNorm1d(width)
        self.squeeze, self.excite = nn.Linear(width, width // 4), nn.Linear(width // 4, width)
        self.mix, self.second, self.head = nn.Conv1d(width, width, 1), nn.BatchNorm1d(width), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.norm(self.embed(x.transpose(1, 2))))
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(h.mean(-1)))))
        gated = h * gate[..., None]
        scaled = gated * self.factor
        return self.head(torch.relu(self.second(self.mix(scaled)) + scaled).mean(-1) / self.m)
