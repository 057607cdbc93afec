"""A neural ODE with a fixed-step solver of its own."""

import argparse

import torch
import torch.nn as nn

parser = argparse.ArgumentParser("ODE demo")
parser.add_argument("--niters", type=int, default=2000)
parser.add_argument("--viz", action="store_true")
args = parser.parse_args()

device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
true_A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]]).to(device)


class Dynamics(nn.Module):
    """The true right-hand side, without parameters."""

    def forward(self, t, y):
        return torch.mm(y**3, true_A)


class ODEFunc(nn.Module):
    def __init__(self, dim=2, hidden_dim=50):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, hidden_dim),
            nn.Tanh(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.Tanh(),
            nn.Linear(hidden_dim, dim),
        )
        for m in self.net.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, mean=0, std=0.1)
                nn.init.constant_(m.bias, val=0)

    def forward(self, t, y):
        return self.net(y**3)


def odeint(func, y, ts):
    out = [y]
    for t, t1 in zip(ts[:-1], ts[1:]):
        h = t1 - t
        k1 = func(t, y)
        k2 = func(t + h / 2, y + h / 2 * k1)
        k3 = func(t + h / 2, y + h / 2 * k2)
        k4 = func(t1, y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        out.append(y)
    return torch.stack(out)


class NeuralODE(nn.Module):
    def __init__(self, dim=2, hidden_dim=50, steps=10):
        super().__init__()
        self.func = ODEFunc(dim, hidden_dim)
        self.register_buffer("t", torch.linspace(0.0, 1.0, steps))

    def forward(self, y0):
        return odeint(self.func, y0, self.t)


if __name__ == "__main__":
    model = NeuralODE()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    y0 = torch.rand(20, 2)
    with torch.no_grad():
        truth = odeint(Dynamics(), y0, model.t)
    for _ in range(args.niters):
        optimizer.zero_grad()
        loss = torch.mean(torch.abs(model(y0) - truth))
        loss.backward()
        optimizer.step()
