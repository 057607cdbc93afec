# ruff: noqa -- written as people write it
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.e = nn.Embedding(args.vocab_size, args.d_model)
        self.r = nn.LSTM(args.d_model, args.hidden_size, args.num_layers, batch_first=True, dropout=args.dropout)
        self.o = nn.Linear(args.hidden_size, args.vocab_size)

    def forward(self, x):
        return self.o(self.r(self.e(x))[0])
