# ruff: noqa -- written as people write it
import torch, torch.nn as nn

GPT_CONFIG_124M = {
    "vocab_size": 50257,
    "context_length": 1024,
    "emb_dim": 768,
    "n_heads": 12,
    "n_layers": 12,
    "drop_rate": 0.1,
    "qkv_bias": False,
}


class Blk(nn.Module):
    def __init__(s, cfg):
        super().__init__()
        s.a = nn.MultiheadAttention(cfg["emb_dim"], cfg["n_heads"], batch_first=True, dropout=cfg["drop_rate"])
        s.n = nn.LayerNorm(cfg["emb_dim"])
        s.f = nn.Linear(cfg["emb_dim"], cfg["emb_dim"])

    def forward(s, x):
        x = x + s.a(s.n(x), s.n(x), s.n(x))[0]
        return x + s.f(x)


class GPTModel(nn.Module):
    def __init__(s, cfg):
        super().__init__()
        s.t = nn.Embedding(cfg["vocab_size"], cfg["emb_dim"])
        s.p = nn.Embedding(cfg["context_length"], cfg["emb_dim"])
        s.b = nn.Sequential(*[Blk(cfg) for _ in range(cfg["n_layers"])])
        s.o = nn.Linear(cfg["emb_dim"], cfg["vocab_size"], bias=False)

    def forward(s, in_idx):
        return s.o(s.b(s.t(in_idx) + s.p(torch.arange(in_idx.shape[1]))))
