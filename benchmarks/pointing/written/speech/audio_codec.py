"""A convolutional encoder and decoder of raw audio, with weight norm and an LSTM in the middle."""

import math
import typing as tp

import torch
from torch import nn
from torch.nn.utils import weight_norm


class NormConv1d(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.conv = weight_norm(nn.Conv1d(*args, **kwargs))

    def forward(self, x):
        pad = self.conv.kernel_size[0] - self.conv.stride[0]
        return self.conv(nn.functional.pad(x, (pad, 0)))


class ResnetBlock(nn.Module):
    def __init__(self, dim: int, kernel_size: int = 3, compress: int = 2):
        super().__init__()
        hidden = dim // compress
        self.block = nn.Sequential(
            nn.ELU(), NormConv1d(dim, hidden, kernel_size), nn.ELU(), NormConv1d(hidden, dim, kernel_size=1)
        )

    def forward(self, x):
        return x + self.block(x)


class SLSTM(nn.Module):
    """LSTM without worrying about the hidden state, nor the layout of the data."""

    def __init__(self, dimension: int, num_layers: int = 2):
        super().__init__()
        self.lstm = nn.LSTM(dimension, dimension, num_layers)

    def forward(self, x):
        x = x.permute(2, 0, 1)
        y, _ = self.lstm(x)
        return (y + x).permute(1, 2, 0)


class Autoencoder(nn.Module):
    def __init__(
        self,
        channels: int = 1,
        dimension: int = 128,
        n_filters: int = 32,
        n_residual_layers: int = 1,
        ratios: tp.List[int] = [4, 4, 2],
        kernel_size: int = 7,
        lstm: int = 1,
    ):
        super().__init__()
        self.channels = channels
        self.hop_length = math.prod(ratios)
        mult = 1
        encoder: tp.List[nn.Module] = [NormConv1d(channels, n_filters, kernel_size)]
        for ratio in reversed(ratios):
            encoder += [ResnetBlock(mult * n_filters) for _ in range(n_residual_layers)]
            encoder += [nn.ELU(), NormConv1d(mult * n_filters, mult * n_filters * 2, ratio * 2, stride=ratio)]
            mult *= 2
        if lstm:
            encoder += [SLSTM(mult * n_filters, num_layers=lstm)]
        encoder += [nn.ELU(), NormConv1d(mult * n_filters, dimension, kernel_size)]
        self.encoder = nn.Sequential(*encoder)
        decoder: tp.List[nn.Module] = [NormConv1d(dimension, mult * n_filters, kernel_size)]
        for ratio in ratios:
            decoder += [
                nn.ELU(),
                weight_norm(nn.ConvTranspose1d(mult * n_filters, mult * n_filters // 2, ratio, stride=ratio)),
            ]
            decoder += [ResnetBlock(mult * n_filters // 2) for _ in range(n_residual_layers)]
            mult //= 2
        decoder += [nn.ELU(), NormConv1d(n_filters, channels, kernel_size)]
        self.decoder = nn.Sequential(*decoder)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dim() == 3 and x.shape[1] == self.channels, "expected audio of shape (batch, channels, time)"
        return self.decoder(self.encoder(x))[..., : x.shape[-1]]
