import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Scaled(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(o, i).normal_(0, 0.1))
        self.scaler = nn.Parameter(torch.empty(o, i))
        nn.init.kaiming_uniform_(self.scaler, a=math.sqrt(5))

    def forward(self, x):
        return F.linear(x, self.weight * self.scaler)


class Net(nn.Module):
    def __init__(self, dim=256):
        super().__init__()
        self.inp = nn.Linear(16, dim)
        self.mid = Scaled(dim, dim)
        self.head = nn.Linear(dim, 10)

    def forward(self, x):
        return self.head(self.mid(self.inp(x).relu()).relu())
