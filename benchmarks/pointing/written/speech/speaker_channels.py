"""Speaker embeddings: time-delay layers whose channels are a list, attentive pooling."""

import torch
from torch import nn


class TDNNBlock(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, dilation, activation=nn.ReLU, groups=1):
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, dilation=dilation, padding="same", groups=groups)
        self.activation = activation()
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, x):
        return self.norm(self.activation(self.conv(x)))


class AttentivePooling(nn.Module):
    def __init__(self, channels, attention_channels):
        super().__init__()
        self.tdnn = TDNNBlock(channels, attention_channels, 1, 1)
        self.conv = nn.Conv1d(attention_channels, channels, 1)

    def forward(self, x):
        attn = self.conv(torch.tanh(self.tdnn(x))).softmax(dim=2)
        mean = (attn * x).sum(2)
        std = ((attn * (x - mean.unsqueeze(2)).pow(2)).sum(2)).clamp(1e-12).sqrt()
        return torch.cat((mean, std), dim=1)


class SpeakerNet(nn.Module):
    """
    input_size: number of mel bins
    channels: output channels of each layer
    Shape: (batch, time, input_size) -> (batch, lin_neurons)
    """

    def __init__(
        self,
        input_size,
        device="cpu",
        lin_neurons=192,
        activation=torch.nn.ReLU,
        channels=[512, 512, 512, 1536],
        kernel_sizes=[5, 3, 3, 1],
        dilations=[1, 2, 3, 1],
        attention_channels=128,
    ):
        super().__init__()
        assert len(channels) == len(kernel_sizes)
        assert len(channels) == len(dilations)
        sizes = [input_size, *channels]
        self.blocks = nn.ModuleList(
            TDNNBlock(a, b, k, d, activation) for a, b, k, d in zip(sizes[:-1], sizes[1:], kernel_sizes, dilations)
        )
        self.pool = AttentivePooling(channels[-1], attention_channels)
        self.norm = nn.BatchNorm1d(channels[-1] * 2)
        self.fc = nn.Linear(channels[-1] * 2, lin_neurons)
        self.to(device)

    def forward(self, x):
        x = x.transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.fc(self.norm(self.pool(x)))
