# ruff: noqa -- written as people write it
import torch, torch.nn as nn
from torch.nn import functional as F

batch_size = 16
block_size = 32
n_embd = 384
n_head = 6
n_layer = 6
dropout = 0.2
vocab_size = 65


class Head(nn.Module):
    def __init__(self, head_size):
        super().__init__()
        self.key = nn.Linear(n_embd, head_size, bias=False)
        self.query = nn.Linear(n_embd, head_size, bias=False)
        self.value = nn.Linear(n_embd, head_size, bias=False)
        self.register_buffer("tril", torch.tril(torch.ones(block_size, block_size)))

    def forward(self, x):
        B, T, C = x.shape
        w = self.query(x) @ self.key(x).transpose(-2, -1) * C**-0.5
        return w.masked_fill(self.tril[:T, :T] == 0, float("-inf")).softmax(-1) @ self.value(x)


class Block(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.sa = nn.ModuleList([Head(n_embd // n_head) for _ in range(n_head)])
        self.p = nn.Linear(n_embd, n_embd)

    def forward(self, x):
        return x + self.p(torch.cat([h(x) for h in self.sa], -1))


class BigramLanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.t = nn.Embedding(vocab_size, n_embd)
        self.pe = nn.Embedding(block_size, n_embd)
        self.b = nn.Sequential(*[Block(n_embd, n_head=n_head) for _ in range(n_layer)])
        self.h = nn.Linear(n_embd, vocab_size)

    def forward(self, idx, targets=None):
        B, T = idx.shape
        x = self.h(self.b(self.t(idx) + self.pe(torch.arange(T))))
        if targets is None:
            return x, None
        return x, F.cross_entropy(x.view(B * T, -1), targets.view(B * T))
