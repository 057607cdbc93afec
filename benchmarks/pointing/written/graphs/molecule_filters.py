"""Continuous filters over atoms in space: atomic numbers and positions in, one energy out."""

import torch
import torch.nn as nn


class ShiftedSoftplus(nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = torch.log(torch.tensor(2.0)).item()

    def forward(self, x):
        return nn.functional.softplus(x) - self.shift


class GaussianSmearing(nn.Module):
    def __init__(self, start=0.0, stop=5.0, num_gaussians=50):
        super().__init__()
        offset = torch.linspace(start, stop, num_gaussians)
        self.coeff = -0.5 / (offset[1] - offset[0]).item() ** 2
        self.register_buffer("offset", offset)

    def forward(self, dist):
        return torch.exp(self.coeff * (dist.unsqueeze(-1) - self.offset).pow(2))


class InteractionBlock(nn.Module):
    def __init__(self, hidden_channels, num_gaussians, num_filters):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(num_gaussians, num_filters), ShiftedSoftplus(), nn.Linear(num_filters, num_filters)
        )
        self.lin1 = nn.Linear(hidden_channels, num_filters, bias=False)
        self.lin2 = nn.Linear(num_filters, hidden_channels)
        self.act = ShiftedSoftplus()
        self.lin = nn.Linear(hidden_channels, hidden_channels)

    def forward(self, x, rbf, mask):
        messages = self.lin1(x)[:, None, :, :] * self.mlp(rbf)
        out = (messages * mask).sum(dim=2)
        return self.lin(self.act(self.lin2(out)))


class FilterNet(nn.Module):
    def __init__(
        self,
        hidden_channels: int = 128,
        num_filters: int = 128,
        num_interactions: int = 6,
        num_gaussians: int = 50,
        cutoff: float = 10.0,
        max_z: int = 100,
    ):
        super().__init__()
        self.cutoff = cutoff
        self.embedding = nn.Embedding(max_z, hidden_channels, padding_idx=0)
        self.distance_expansion = GaussianSmearing(0.0, cutoff, num_gaussians)
        self.interactions = nn.ModuleList(
            [InteractionBlock(hidden_channels, num_gaussians, num_filters) for _ in range(num_interactions)]
        )
        self.lin1 = nn.Linear(hidden_channels, hidden_channels // 2)
        self.act = ShiftedSoftplus()
        self.lin2 = nn.Linear(hidden_channels // 2, 1)

    def forward(self, z, pos):
        """z: atomic numbers, (molecules, atoms); pos: positions, (molecules, atoms, 3)."""
        diff = pos[:, :, None, :] - pos[:, None, :, :]
        dist = (diff.pow(2).sum(-1) + 1e-12).sqrt()
        mask = ((dist < self.cutoff) & (dist > 1e-3)).unsqueeze(-1).float()
        rbf = self.distance_expansion(dist)
        h = self.embedding(z)
        for interaction in self.interactions:
            h = h + interaction(h, rbf, mask)
        return self.lin2(self.act(self.lin1(h))).sum(dim=1)
