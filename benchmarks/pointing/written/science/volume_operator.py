"""A Fourier operator on volumes, to whose fields the forward adds the three coordinates of every place."""

import torch
import torch.nn.functional as F
from torch import nn


class SpectralVolume(nn.Module):
    def __init__(self, channels, modes):
        super().__init__()
        self.modes = modes
        self.weights = nn.Parameter(torch.randn(channels, channels, modes, modes, modes, dtype=torch.cfloat) / channels)

    def forward(self, x):
        m = self.modes
        found = torch.fft.rfftn(x, dim=(-3, -2, -1))
        out = torch.zeros_like(found)
        out[..., :m, :m, :m] = torch.einsum("bixyz,ioxyz->boxyz", found[..., :m, :m, :m], self.weights)
        return torch.fft.irfftn(out, s=x.shape[-3:])


class VolumeOperator(nn.Module):
    def __init__(self, modes=4, width=32):
        super().__init__()
        self.lift = nn.Linear(1 + 3, width)
        self.spectral = nn.ModuleList(SpectralVolume(width, modes) for _ in range(3))
        self.local = nn.ModuleList(nn.Conv3d(width, width, 1) for _ in range(3))
        self.project = nn.Linear(width, 1)

    def forward(self, x):
        x = torch.cat((x, self.places(x.shape)), dim=-1)
        x = self.lift(x).permute(0, 4, 1, 2, 3)
        for spectral, local in zip(self.spectral, self.local):
            x = F.gelu(spectral(x) + local(x))
        return self.project(x.permute(0, 2, 3, 4, 1))

    def places(self, shape):
        batch, *sides = shape[0], shape[1], shape[2], shape[3]
        grid = torch.stack(torch.meshgrid(*(torch.linspace(0, 1, side) for side in sides), indexing="ij"), dim=-1)
        return grid.expand(batch, *grid.shape)
