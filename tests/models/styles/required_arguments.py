# ruff: noqa -- written as people write it
import torch, torch.nn as nn


class TransformerLM(nn.Module):
    def __init__(self, vocab_size, d_model, nhead, num_layers, dim_feedforward, max_len, dropout=0.1):
        super().__init__()
        self.e = nn.Embedding(vocab_size, d_model)
        self.p = nn.Embedding(max_len, d_model)
        self.t = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(d_model, nhead, dim_feedforward, dropout, batch_first=True), num_layers
        )
        self.h = nn.Linear(d_model, vocab_size)

    def forward(self, src, src_mask=None):
        return self.h(self.t(self.e(src) + self.p(torch.arange(src.shape[1])), src_mask))
