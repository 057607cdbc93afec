"""Segmentation U-Net; base_c sets the size of the first level."""

import torch
from torch import nn


def block(cin, cout):
    return nn.Sequential(
        nn.Conv2d(cin, cout, 3, padding=1), nn.GroupNorm(8, cout), nn.SiLU(),
        nn.Conv2d(cout, cout, 3, padding=1), nn.GroupNorm(8, cout), nn.SiLU(),
    )  # fmt: skip


class SegmentationUNet(nn.Module):
    def __init__(self, in_channels: int = 3, num_classes: int = 21, base_c: int = 64, levels: int = 3):
        super().__init__()
        sizes = [base_c * 2**i for i in range(levels)]
        self.stem = block(in_channels, base_c)
        self.encoder = nn.ModuleList(block(a, b) for a, b in zip(sizes[:-1], sizes[1:]))
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.decoder = nn.ModuleList(block(a + b, a) for a, b in zip(sizes[-2::-1], sizes[:0:-1]))
        self.head = nn.Conv2d(base_c, num_classes, 1)

    def forward(self, x):
        skips = [self.stem(x)]
        for layer in self.encoder:
            skips.append(layer(self.pool(skips[-1])))
        x = skips.pop()
        for layer in self.decoder:
            x = layer(torch.cat([self.up(x), skips.pop()], dim=1))
        return {"out": self.head(x)}
