# ruff: noqa -- written as people write it
import torch, torch.nn as nn


class Attention(nn.Module):
    def __init__(s, dim, heads=8, dim_head=64, dropout=0.0):
        super().__init__()
        inner = dim_head * heads
        s.heads = heads
        s.scale = dim_head**-0.5
        s.qkv = nn.Linear(dim, inner * 3, bias=False)
        s.o = nn.Linear(inner, dim)

    def forward(s, x):
        B, N, _ = x.shape
        q, k, v = [t.view(B, N, s.heads, -1).transpose(1, 2) for t in s.qkv(x).chunk(3, -1)]
        return s.o((((q @ k.transpose(-1, -2)) * s.scale).softmax(-1) @ v).transpose(1, 2).reshape(B, N, -1))


class ViT(nn.Module):
    def __init__(
        s,
        *,
        image_size,
        patch_size,
        num_classes,
        dim,
        depth,
        heads,
        mlp_dim,
        pool="cls",
        channels=3,
        dim_head=64,
        dropout=0.0,
        emb_dropout=0.0,
    ):
        super().__init__()
        n = (image_size // patch_size) ** 2
        s.p = nn.Conv2d(channels, dim, patch_size, patch_size)
        s.pos = nn.Parameter(torch.randn(1, n + 1, dim))
        s.cls = nn.Parameter(torch.randn(1, 1, dim))
        s.l = nn.ModuleList(
            nn.ModuleList(
                [
                    Attention(dim, heads, dim_head),
                    nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, dim)),
                ]
            )
            for _ in range(depth)
        )
        s.h = nn.Linear(dim, num_classes)

    def forward(s, img):
        x = s.p(img).flatten(2).transpose(1, 2)
        x = torch.cat([s.cls.expand(x.shape[0], -1, -1), x], 1) + s.pos
        for a, f in s.l:
            x = x + a(x)
            x = x + f(x)
        return s.h(x[:, 0])
