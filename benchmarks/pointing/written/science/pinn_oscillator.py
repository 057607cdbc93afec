"""A network for the damped oscillator, trained on the residual of its equation."""

import torch
import torch.nn as nn


class FCN(nn.Module):
    "Defines a connected network"

    def __init__(self, N_INPUT, N_OUTPUT, N_HIDDEN, N_LAYERS):
        super().__init__()
        activation = nn.Tanh
        self.fcs = nn.Sequential(*[nn.Linear(N_INPUT, N_HIDDEN), activation()])
        self.fch = nn.Sequential(
            *[nn.Sequential(*[nn.Linear(N_HIDDEN, N_HIDDEN), activation()]) for _ in range(N_LAYERS - 1)]
        )
        self.fce = nn.Linear(N_HIDDEN, N_OUTPUT)

    def forward(self, x):
        return self.fce(self.fch(self.fcs(x)))


def physics_loss(model, x, mu, k):
    x = x.requires_grad_(True)
    y = model(x)
    dx = torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)[0]
    dx2 = torch.autograd.grad(dx, x, torch.ones_like(dx), create_graph=True)[0]
    return torch.mean((dx2 + mu * dx + k * y) ** 2)


def train(steps=20000):
    torch.manual_seed(123)
    model = FCN(1, 1, 32, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    points = torch.linspace(0, 1, 30).view(-1, 1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = physics_loss(model, points, 4.0, 400.0)
        loss.backward()
        optimizer.step()
    return model
