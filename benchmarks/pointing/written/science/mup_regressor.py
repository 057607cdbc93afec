"""A perceptron in µP for SGD: multipliers in the forward pass, one learning rate for everything."""

import math

import torch
from torch import nn


class MuLinear(nn.Module):
    """x W sqrt(a) with entries of W of std 1/sqrt(b): see the table of the paper for a and b."""

    def __init__(self, fan_in, fan_out, multiplier=1.0, std=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_in, fan_out) * std)
        self.multiplier = multiplier

    def forward(self, x):
        return x @ self.weight * self.multiplier


class Regressor(nn.Module):
    def __init__(self, n_features=16, hidden_dim=256, n_hidden_layers=2, n_targets=1):
        super().__init__()
        root = math.sqrt(hidden_dim)
        self.first = MuLinear(n_features, hidden_dim, multiplier=root, std=1 / root / math.sqrt(n_features))
        self.hidden = nn.ModuleList([MuLinear(hidden_dim, hidden_dim, std=1 / root) for _ in range(n_hidden_layers)])
        self.last = MuLinear(hidden_dim, n_targets, multiplier=1 / root, std=1 / root)

    def forward(self, features):
        x = torch.tanh(self.first(features))
        for layer in self.hidden:
            x = torch.tanh(layer(x))
        return self.last(x)

    def configure_optimizers(self, lr=0.1, momentum=0.9):
        return torch.optim.SGD(self.parameters(), lr=lr, momentum=momentum)
