"""Convolution-augmented transformer over log-mel frames, with a CTC head."""

from typing import Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor


class FeedForwardModule(nn.Module):
    def __init__(self, encoder_dim: int, expansion_factor: int, dropout_p: float) -> None:
        super().__init__()
        self.sequential = nn.Sequential(
            nn.LayerNorm(encoder_dim),
            nn.Linear(encoder_dim, encoder_dim * expansion_factor),
            nn.SiLU(),
            nn.Dropout(p=dropout_p),
            nn.Linear(encoder_dim * expansion_factor, encoder_dim),
            nn.Dropout(p=dropout_p),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.sequential(inputs)


class ConvModule(nn.Module):
    def __init__(self, in_channels: int, kernel_size: int, dropout_p: float) -> None:
        super().__init__()
        assert (kernel_size - 1) % 2 == 0, "kernel_size should be a odd number for 'SAME' padding"
        self.norm = nn.LayerNorm(in_channels)
        self.pointwise1 = nn.Conv1d(in_channels, in_channels * 2, 1)
        self.depthwise = nn.Conv1d(
            in_channels, in_channels, kernel_size, padding=(kernel_size - 1) // 2, groups=in_channels, bias=False
        )
        self.batch_norm = nn.BatchNorm1d(in_channels)
        self.pointwise2 = nn.Conv1d(in_channels, in_channels, 1)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, inputs: Tensor) -> Tensor:
        x = F.glu(self.pointwise1(self.norm(inputs).transpose(1, 2)), dim=1)
        x = F.silu(self.batch_norm(self.depthwise(x)))
        return self.dropout(self.pointwise2(x)).transpose(1, 2)


class ConformerBlock(nn.Module):
    def __init__(self, encoder_dim, num_attention_heads, expansion_factor, kernel_size, dropout_p):
        super().__init__()
        self.ff1 = FeedForwardModule(encoder_dim, expansion_factor, dropout_p)
        self.attn_norm = nn.LayerNorm(encoder_dim)
        self.attn = nn.MultiheadAttention(encoder_dim, num_attention_heads, dropout=dropout_p, batch_first=True)
        self.conv = ConvModule(encoder_dim, kernel_size, dropout_p)
        self.ff2 = FeedForwardModule(encoder_dim, expansion_factor, dropout_p)
        self.norm = nn.LayerNorm(encoder_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.ff1(x)
        y = self.attn_norm(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        x = x + self.conv(x)
        return self.norm(x + 0.5 * self.ff2(x))


class Conformer(nn.Module):
    """
    Args:
        num_classes: number of output tokens
        input_dim: number of mel bins
        encoder_dim: dimension of the encoder
    Inputs: inputs (batch, time, dim), input_lengths (batch)
    """

    def __init__(
        self,
        num_classes: int,
        input_dim: int = 80,
        encoder_dim: int = 256,
        num_encoder_layers: int = 16,
        num_attention_heads: int = 4,
        feed_forward_expansion_factor: int = 4,
        conv_kernel_size: int = 31,
        dropout_p: float = 0.1,
    ) -> None:
        super().__init__()
        self.subsample = nn.Conv1d(input_dim, encoder_dim, kernel_size=3, stride=2, padding=1)
        self.input_dropout = nn.Dropout(dropout_p)
        self.layers = nn.ModuleList(
            [
                ConformerBlock(
                    encoder_dim, num_attention_heads, feed_forward_expansion_factor, conv_kernel_size, dropout_p
                )
                for _ in range(num_encoder_layers)
            ]
        )
        self.fc = nn.Linear(encoder_dim, num_classes, bias=False)

    def count_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def forward(self, inputs: Tensor, input_lengths: Tensor) -> Tuple[Tensor, Tensor]:
        x = self.input_dropout(F.relu(self.subsample(inputs.transpose(1, 2))).transpose(1, 2))
        for layer in self.layers:
            x = layer(x)
        return F.log_softmax(self.fc(x), dim=-1), input_lengths >> 1
