# ruff: noqa -- written as people write it
import torch, torch.nn as nn


class LitModel(nn.Module):
    def __init__(self, hidden_dim=128, lr=1e-3):
        super().__init__()
        self.n = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, 10))

    def forward(self, x):
        return self.n(x)

    def training_step(self, b, i):
        return 0

    def configure_optimizers(self):
        o = torch.optim.Adam(self.parameters(), lr=1e-3)
        return {"optimizer": o, "lr_scheduler": torch.optim.lr_scheduler.StepLR(o, 1)}
