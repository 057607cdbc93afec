"""A language model whose attention works in buckets: a sequence has to fill them."""

import torch
import torch.nn.functional as F
from torch import nn


class BucketAttention(nn.Module):
    def __init__(self, dim, heads, bucket_size):
        super().__init__()
        self.heads, self.bucket_size = heads, bucket_size
        self.to_qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, x):
        b, n, d = x.shape
        assert n % (self.bucket_size * 2) == 0, f"sequence length {n} has to be divisible by {self.bucket_size * 2}"
        q, k, v = (
            t.view(b, n // self.bucket_size, self.bucket_size, self.heads, d // self.heads).transpose(2, 3)
            for t in self.to_qkv(x).chunk(3, dim=-1)
        )
        dots = torch.einsum("bwhid,bwhjd->bwhij", q, k) * (d // self.heads) ** -0.5
        out = torch.einsum("bwhij,bwhjd->bwhid", dots.softmax(-1), v)
        return self.to_out(out.transpose(2, 3).reshape(b, n, d))


class BucketLM(nn.Module):
    def __init__(self, num_tokens, dim, depth, heads=8, bucket_size=48):
        super().__init__()
        self.token_emb = nn.Embedding(num_tokens, dim)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.LayerNorm(dim),
                    BucketAttention(dim, heads, bucket_size),
                    nn.LayerNorm(dim),
                    nn.Linear(dim, 4 * dim),
                    nn.Linear(4 * dim, dim),
                ]
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)
        self.to_logits = nn.Linear(dim, num_tokens)

    def forward(self, x):
        x = self.token_emb(x)
        for norm, attention, second, up, down in self.layers:
            x = x + attention(norm(x))
            x = x + down(F.gelu(up(second(x))))
        return self.to_logits(self.norm(x))
