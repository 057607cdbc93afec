from __future__ import annotations

from dataclasses import dataclass

import torch.nn as nn


@dataclass
class Args:
    d_model: int
    n_layer: int
    vocab_size: int
    expand: int = 2
    rank: Union[int, str] = "auto"


class Block(nn.Module):
    def __init__(self, args: Args):
        super().__init__()
        self.up = nn.Linear(args.d_model, args.expand * args.d_model)
        self.down = nn.Linear(args.expand * args.d_model, args.d_model)

    def forward(self, x):
        return x + self.down(self.up(x).relu())


class Net(nn.Module):
    def __init__(self, args: Args):
        super().__init__()
        self.emb = nn.Embedding(args.vocab_size, args.d_model)
        self.blocks = nn.ModuleList([Block(args) for _ in range(args.n_layer)])
        self.head = nn.Linear(args.d_model, args.vocab_size)

    def forward(self, input_ids):
        x = self.emb(input_ids)
        for b in self.blocks:
            x = b(x)
        return self.head(x)
