import torch.nn as nn


class Residual(nn.Module):
    def __init__(self, dim, fn):
        super().__init__()
        self.fn, self.norm = fn, nn.LayerNorm(dim)

    def forward(self, x):
        return x + self.fn(self.norm(x))


def make_model(*, vocab=512, dim=128, depth=2, num_classes=10):
    return nn.Sequential(
        nn.Embedding(vocab, dim),
        *[
            Residual(dim, nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)))
            for _ in range(depth)
        ],
        nn.LayerNorm(dim),
        nn.Linear(dim, num_classes),
    )
