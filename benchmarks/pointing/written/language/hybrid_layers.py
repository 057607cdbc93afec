"""Gated convolutions in most layers, attention in every fourth."""

import math

import torch
from torch import nn


class HybridConfig:
    def __init__(self, vocab_size=16000, d_model=768, n_layers=12, n_heads=12, attn_every=4, kernel=3, dropout=0.0):
        self.vocab_size = vocab_size
        self.d_model = d_model
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.attn_every = attn_every
        self.kernel = kernel
        self.dropout = dropout


class GatedConv(nn.Module):
    def __init__(self, cfg: HybridConfig):
        super().__init__()
        self.kernel = cfg.kernel
        self.in_proj = nn.Linear(cfg.d_model, 2 * cfg.d_model)
        self.conv = nn.Conv1d(cfg.d_model, cfg.d_model, cfg.kernel, groups=cfg.d_model, padding=cfg.kernel - 1)
        self.out_proj = nn.Linear(cfg.d_model, cfg.d_model)

    def forward(self, x):
        value, gate = self.in_proj(x).chunk(2, dim=-1)
        value = self.conv(value.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)
        return self.out_proj(value * torch.sigmoid(gate))


class CausalAttention(nn.Module):
    def __init__(self, cfg: HybridConfig):
        super().__init__()
        self.n_heads = cfg.n_heads
        self.qkv = nn.Linear(cfg.d_model, 3 * cfg.d_model, bias=False)
        self.out = nn.Linear(cfg.d_model, cfg.d_model, bias=False)

    def forward(self, x):
        B, T, D = x.shape
        q, k, v = (z.view(B, T, self.n_heads, -1).transpose(1, 2) for z in self.qkv(x).chunk(3, dim=-1))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        scores = scores + torch.full((T, T), float("-inf"), device=x.device).triu(1)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, D))


class HybridLayer(nn.Module):
    def __init__(self, cfg: HybridConfig, index: int):
        super().__init__()
        self.norm = nn.LayerNorm(cfg.d_model)
        self.mixer = CausalAttention(cfg) if index % cfg.attn_every == cfg.attn_every - 1 else GatedConv(cfg)
        self.norm2 = nn.LayerNorm(cfg.d_model)
        self.ffn = nn.Sequential(
            nn.Linear(cfg.d_model, 4 * cfg.d_model), nn.GELU(), nn.Linear(4 * cfg.d_model, cfg.d_model)
        )

    def forward(self, x):
        x = x + self.mixer(self.norm(x))
        return x + self.ffn(self.norm2(x))


class HybridLM(nn.Module):
    def __init__(self, cfg: HybridConfig):
        super().__init__()
        self.embed = nn.Embedding(cfg.vocab_size, cfg.d_model)
        self.layers = nn.ModuleList([HybridLayer(cfg, i) for i in range(cfg.n_layers)])
        self.norm = nn.LayerNorm(cfg.d_model)
        self.head = nn.Linear(cfg.d_model, cfg.vocab_size)

    def forward(self, tokens):
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


if __name__ == "__main__":
    model = HybridLM(HybridConfig())
    print(model(torch.randint(0, 16000, (1, 128))).shape)
