import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, dim=256, vocab_size=512):
        super().__init__()
        self.emb = nn.Embedding(vocab_size, dim)
        self.decay = nn.Parameter(torch.linspace(-6, -1, 4).unsqueeze(-1))
        self.head = nn.Linear(dim, vocab_size, bias=False)

    def forward(self, idx):
        x = self.emb(idx)
        w = torch.exp(-torch.exp(self.decay))
        exponents = torch.arange(x.shape[1]).unsqueeze(0).repeat(4, 1)
        return self.head(x * w.pow(exponents).mean())
