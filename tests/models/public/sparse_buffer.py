import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, dim=256, vocab_size=512):
        super().__init__()
        self.emb = nn.Embedding(vocab_size, dim)
        self.hid = nn.Linear(dim, dim)
        self.head = nn.Linear(dim, vocab_size)
        self.register_buffer("mask", torch.eye(4).to_sparse(), persistent=False)

    def forward(self, ids):
        return self.head(self.hid(self.emb(ids)).relu())
