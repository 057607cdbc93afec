# ruff: noqa -- written as people write it
import torch.nn as nn


class MLP(nn.Module):
    def __init__(self, input_size=784, hidden_size=256, num_classes=10):
        super().__init__()
        self.fc1 = nn.Linear(input_size, hidden_size)
        self.fc2 = nn.Linear(hidden_size, hidden_size)
        self.fc3 = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        return self.fc3(self.fc2(self.fc1(x.view(x.size(0), -1)).relu()).relu())
