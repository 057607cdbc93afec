# ruff: noqa -- written as people write it
import torch.nn as nn, torch.nn.functional as F, torch


class Net(nn.Module):
    def __init__(self, channels=32, hidden=128):
        super().__init__()
        self.c = nn.Conv2d(1, channels, 3, 1)
        self.c2 = nn.Conv2d(channels, 2 * channels, 3, 1)
        self.f = nn.Linear(2 * channels * 144, hidden)
        self.o = nn.Linear(hidden, 10)

    def forward(self, x):
        return F.log_softmax(
            self.o(F.relu(self.f(torch.flatten(F.max_pool2d(F.relu(self.c2(F.relu(self.c(x)))), 2), 1)))), 1
        )
