# ruff: noqa -- written as people write it
import torch, torch.nn as nn


class UNet(nn.Module):
    def __init__(self, in_channels=3, out_channels=3, base_channels=64, channel_mults=(1, 2), time_dim=None):
        super().__init__()
        c = base_channels
        self.t = nn.Linear(1, c)
        self.i = nn.Conv2d(in_channels, c, 3, padding=1)
        self.g = nn.GroupNorm(32, c)
        self.d = nn.Conv2d(c, 2 * c, 3, 2, 1)
        self.u = nn.ConvTranspose2d(2 * c, c, 2, 2)
        self.o = nn.Conv2d(c, out_channels, 1)

    def forward(self, x, t):
        h = self.g(self.i(x)) + self.t(t.float()[:, None])[:, :, None, None]
        return self.o(h + self.u(self.d(h).relu()))
