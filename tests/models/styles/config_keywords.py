# ruff: noqa -- written as people write it
import torch.nn as nn, torch
from torch.nn import functional as F


class GPTConfig:
    embd_pdrop = 0.1

    def __init__(self, vocab_size, block_size, **kwargs):
        self.vocab_size = vocab_size
        self.block_size = block_size
        for k, v in kwargs.items():
            setattr(self, k, v)


class GPT1Config(GPTConfig):
    n_layer = 12
    n_head = 12
    n_embd = 768


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.e = nn.Embedding(config.vocab_size, config.n_embd)
        self.pos = nn.Parameter(torch.zeros(1, config.block_size, config.n_embd))
        self.b = nn.ModuleList(
            [
                nn.TransformerEncoderLayer(
                    config.n_embd, config.n_head, 4 * config.n_embd, batch_first=True, dropout=config.embd_pdrop
                )
                for _ in range(config.n_layer)
            ]
        )
        self.h = nn.Linear(config.n_embd, config.vocab_size)

    def configure_optimizers(self, train_config):
        return torch.optim.AdamW(self.parameters(), lr=train_config.learning_rate, betas=train_config.betas)

    def forward(self, idx, targets=None):
        x = self.e(idx) + self.pos[:, : idx.shape[1]]
        for b in self.b:
            x = b(x)
        l = self.h(x)
        return l, (F.cross_entropy(l.view(-1, l.size(-1)), targets.view(-1)) if targets is not None else None)
