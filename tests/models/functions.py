"""Weights that are functions of parameters, and derivatives in the forward: small models in µP, and one mistake each.

All are in TP5 Table 8 for Adam at a base width of 64 (arXiv 2203.03466): readouts times 64/n, hidden learning rates
divided by n/64. `wrong` plants the mistake.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .architectures import CLASSES, FEATURES

BASE = 64


class Made(nn.Module):
    """A hidden layer whose matrix is `make` of (width, width) parameters of these stds, times `factor`."""

    def __init__(self, width: int, make: Callable[..., Tensor], stds: dict[str, float], factor: float = 1.0) -> None:
        super().__init__()
        self.make, self.factor, self.m = make, factor, width / BASE
        self.embed, self.head = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES)
        self.parts = nn.ParameterDict({name: torch.randn(width, width) * std for name, std in stds.items()})

    def forward(self, x: Tensor) -> Tensor:
        weight = self.make(*self.parts.values()) * self.factor
        return self.head(torch.tanh(F.linear(torch.tanh(self.embed(x)), weight)) / self.m)


class Factors(nn.Module):
    """A hidden matrix u·v of fixed rank, transposed on its way in: v is read first, so it is a readout; u an input."""

    def __init__(self, width: int, wrong: bool) -> None:
        super().__init__()
        self.m, self.factor = width / BASE, (width / BASE) ** 0.5 if wrong else 1.0
        self.embed, self.head = nn.Linear(FEATURES, width), nn.Linear(width, CLASSES)
        self.u, self.v = nn.Parameter(torch.randn(width, 4)), nn.Parameter(torch.randn(4, width) / width)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(torch.tanh(self.embed(x)) @ (self.u @ self.v).T * self.factor) / self.m)


class Slopes(nn.Module):
    """A value and its first and second derivatives by the input, by autograd in the forward (physics-informed)."""

    def __init__(self, width: int, wrong: bool, functional: bool = False) -> None:
        super().__init__()
        self.m, self.functional = 1.0 if wrong else width / BASE, functional
        self.embed, self.hidden, self.head = nn.Linear(2, width), nn.Linear(width, width), nn.Linear(width, 1)

    def value(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(torch.tanh(self.embed(x)))) / self.m)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.functional:
            slope = torch.func.grad(lambda point: self.value(point[None])[0, 0])
            return self.value(x), torch.func.vmap(torch.func.jacrev(slope))(x)[:, 0, 0]
        x = x.clone().requires_grad_()
        u = self.value(x)
        (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first[:, 0].sum(), x, create_graph=True)
        return u, second[:, 0]


class Normed(nn.Module):
    """Activations divided by their norm of some order, times the power of the width that makes entries of size 1."""

    def __init__(self, width: int, order: float, power: float) -> None:
        super().__init__()
        self.m, self.order, self.factor = width / BASE, order, width**power
        self.embed, self.hidden, self.head = nn.Linear(FEATURES, width), nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.embed(x))
        h = h / torch.linalg.vector_norm(h, ord=self.order, dim=-1, keepdim=True) * self.factor
        return self.head(torch.tanh(self.hidden(h)) / self.m)
