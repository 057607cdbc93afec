import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Layer(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(i, o))
        self.bias = nn.Parameter(torch.empty(o))
        s = 1 / math.sqrt(o)
        self.weight.data.uniform_(-s, s)
        self.bias.data.uniform_(-s, s)

    def forward(self, x):
        return x @ self.weight + self.bias


class Net(nn.Module):
    def __init__(self, nfeat=32, nhid=64, nclass=10):
        super().__init__()
        self.a, self.b = Layer(nfeat, nhid), Layer(nhid, nclass)

    def forward(self, x):
        return F.log_softmax(self.b(F.relu(self.a(x))), dim=1)
