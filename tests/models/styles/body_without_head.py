# ruff: noqa -- written as people write it
import torch.nn as nn


class Body(nn.Module):
    def __init__(self, d_model=256, expansion=4):
        super().__init__()
        self.n = nn.LayerNorm(d_model)
        self.a = nn.Linear(d_model, expansion * d_model)
        self.b = nn.Linear(expansion * d_model, d_model)

    def forward(self, x):
        return x + self.b(self.a(self.n(x)).relu())
