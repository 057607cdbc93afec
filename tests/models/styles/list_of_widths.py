# ruff: noqa -- written as people write it
import torch.nn as nn
from typing import List


class MLP(nn.Module):
    def __init__(self, in_dim: int = 20, hidden_dims: List[int] = [256, 512, 256], out_dim: int = 1):
        super().__init__()
        d = [in_dim, *hidden_dims]
        self.l = nn.ModuleList(nn.Linear(a, b) for a, b in zip(d, d[1:]))
        self.o = nn.Linear(d[-1], out_dim)

    def forward(self, x):
        for l in self.l:
            x = l(x).tanh()
        return self.o(x)
