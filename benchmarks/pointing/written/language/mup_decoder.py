"""A decoder in µP: sizes relative to base_dim, hidden learning rates divided by the width multiplier."""

from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class Config:
    dim: int = 512
    base_dim: int = 128
    head_dim: int = 32
    n_layers: int = 4
    vocab_size: int = 1024
    max_len: int = 256

    @property
    def width_mult(self):
        return self.dim / self.base_dim


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.head_dim = config.dim // config.head_dim, config.head_dim
        self.norm1, self.norm2 = nn.LayerNorm(config.dim), nn.LayerNorm(config.dim)
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=False)
        self.out = nn.Linear(config.dim, config.dim, bias=False)
        self.up = nn.Linear(config.dim, 4 * config.dim, bias=False)
        self.down = nn.Linear(4 * config.dim, config.dim, bias=False)

    def forward(self, x):
        b, t, d = x.shape
        qkv = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1 / self.head_dim)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class MuDecoder(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.tok = nn.Embedding(config.vocab_size, config.dim)
        self.pos = nn.Embedding(config.max_len, config.dim)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layers)])
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, config.vocab_size, bias=False)
        for name, p in self.named_parameters():
            if p.dim() < 2:
                continue
            hidden = name.startswith("blocks")
            nn.init.normal_(p, std=p.shape[1] ** -0.5 if hidden else 0.02)

    def forward(self, idx, targets=None):
        x = self.tok(idx) + self.pos(torch.arange(idx.shape[1], device=idx.device))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x)) / self.config.width_mult
        if targets is None:
            return logits
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def configure_optimizers(self, learning_rate=1e-3, weight_decay=0.0):
        hidden = [p for n, p in self.named_parameters() if n.startswith("blocks") and p.dim() == 2]
        chosen = {id(p) for p in hidden}
        rest = [p for p in self.parameters() if id(p) not in chosen]
        return torch.optim.AdamW(
            [{"params": hidden, "lr": learning_rate / self.config.width_mult}, {"params": rest, "lr": learning_rate}],
            lr=learning_rate,
            weight_decay=weight_decay,
        )
