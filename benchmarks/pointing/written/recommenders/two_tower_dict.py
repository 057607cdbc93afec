"""Users and items in two towers; a batch is a dictionary."""

from typing import Dict

import torch
from torch import Tensor, nn


class Tower(nn.Module):
    def __init__(self, n_ids: int, n_features: int, embed_dim: int, hidden_dim: int, out_dim: int):
        super().__init__()
        self.embedding = nn.Embedding(n_ids, embed_dim)
        self.mlp = nn.Sequential(
            nn.Linear(embed_dim + n_features, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, hidden_dim), nn.ReLU(),
            nn.Linear(hidden_dim, out_dim),
        )  # fmt: skip

    def forward(self, ids: Tensor, features: Tensor) -> Tensor:
        return self.mlp(torch.cat([self.embedding(ids), features], dim=-1))


class TwoTower(nn.Module):
    def __init__(self, n_users: int = 10000, n_items: int = 5000, user_features: int = 8, item_features: int = 12,
                 embed_dim: int = 64, hidden_dim: int = 256, out_dim: int = 32, temperature: float = 0.1):  # fmt: skip
        super().__init__()
        self.user_tower = Tower(n_users, user_features, embed_dim, hidden_dim, out_dim)
        self.item_tower = Tower(n_items, item_features, embed_dim, hidden_dim, out_dim)
        self.temperature = temperature

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        user = self.user_tower(batch["user_id"], batch["user_features"])
        item = self.item_tower(batch["item_id"], batch["item_features"])
        return nn.functional.normalize(user, dim=-1) @ nn.functional.normalize(item, dim=-1).T / self.temperature
