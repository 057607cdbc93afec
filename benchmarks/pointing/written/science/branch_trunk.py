"""Operator learning: a branch for the sensors, a trunk for the query points, an inner product."""

import torch
import torch.nn as nn


class MLP(nn.Module):
    def __init__(self, in_dim, width, depth, out_dim):
        super().__init__()
        sizes = [in_dim] + [width] * depth + [out_dim]
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:]))

    def forward(self, x):
        for linear in self.linears[:-1]:
            x = torch.nn.functional.gelu(linear(x))
        return self.linears[-1](x)


class DeepONet(nn.Module):
    def __init__(self, num_sensors: int = 100, query_dim: int = 2, width: int = 128, depth: int = 3):
        super().__init__()
        self.branch = MLP(num_sensors, width, depth, width)
        self.trunk = MLP(query_dim, width, depth, width)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, u, y):
        """u: (batch, num_sensors) values at the sensors; y: (batch, points, query_dim) where to evaluate."""
        return torch.einsum("bp,bnp->bn", self.branch(u), self.trunk(y)) + self.bias
