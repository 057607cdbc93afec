"""Dilated causal convolutions over one-hot samples."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class WaveNetModel(nn.Module):
    """
    Args:
        layers: number of layers in each block
        blocks: number of wavenet blocks of this model
        dilation_channels, residual_channels, skip_channels, end_channels: sizes of the paths
        classes: number of possible values each sample can have
    Shape: (N, classes, L) -> (N, classes, L)
    """

    def __init__(
        self,
        layers=10,
        blocks=4,
        dilation_channels=32,
        residual_channels=32,
        skip_channels=256,
        end_channels=256,
        classes=256,
        kernel_size=2,
        bias=False,
    ):
        super().__init__()
        self.layers, self.blocks, self.kernel_size = layers, blocks, kernel_size
        self.filter_convs, self.gate_convs = nn.ModuleList(), nn.ModuleList()
        self.residual_convs, self.skip_convs = nn.ModuleList(), nn.ModuleList()
        self.dilations = []
        self.start_conv = nn.Conv1d(classes, residual_channels, kernel_size=1, bias=bias)
        for _ in range(blocks):
            for i in range(layers):
                d = 2**i
                self.dilations.append(d)
                self.filter_convs.append(nn.Conv1d(residual_channels, dilation_channels, kernel_size, dilation=d))
                self.gate_convs.append(nn.Conv1d(residual_channels, dilation_channels, kernel_size, dilation=d))
                self.residual_convs.append(nn.Conv1d(dilation_channels, residual_channels, 1, bias=bias))
                self.skip_convs.append(nn.Conv1d(dilation_channels, skip_channels, 1, bias=bias))
        self.end_conv_1 = nn.Conv1d(skip_channels, end_channels, kernel_size=1, bias=True)
        self.end_conv_2 = nn.Conv1d(end_channels, classes, kernel_size=1, bias=True)

    def forward(self, input):
        x, skip = self.start_conv(input), 0
        for i, d in enumerate(self.dilations):
            padded = F.pad(x, (d * (self.kernel_size - 1), 0))
            gated = torch.tanh(self.filter_convs[i](padded)) * torch.sigmoid(self.gate_convs[i](padded))
            skip = skip + self.skip_convs[i](gated)
            x = x + self.residual_convs[i](gated)
        return self.end_conv_2(F.relu(self.end_conv_1(F.relu(skip))))
