"""Dense features and categories, pairwise dot products, a click probability."""

import torch
import torch.nn as nn


class RecommendationNet(nn.Module):
    def create_mlp(self, ln, sigmoid_layer):
        layers = nn.ModuleList()
        for i in range(len(ln) - 1):
            layer = nn.Linear(int(ln[i]), int(ln[i + 1]), bias=True)
            nn.init.normal_(layer.weight, mean=0.0, std=(2 / (ln[i] + ln[i + 1])) ** 0.5)
            layers.append(layer)
            layers.append(nn.Sigmoid() if i == sigmoid_layer else nn.ReLU())
        return nn.Sequential(*layers)

    def __init__(self, m_spa=16, ln_emb=(100, 200, 300), ln_bot=(13, 64, 16), ln_top=(64, 32, 1), sigmoid_top=-1):
        super().__init__()
        if ln_bot[-1] != m_spa:
            raise ValueError("arch-sparse-feature-size " + str(m_spa) + " does not match last dim of bottom mlp")
        self.emb_l = nn.ModuleList([nn.EmbeddingBag(n, m_spa, mode="sum") for n in ln_emb])
        for n, emb in zip(ln_emb, self.emb_l):
            nn.init.uniform_(emb.weight, -((1 / n) ** 0.5), (1 / n) ** 0.5)
        self.bot_l = self.create_mlp(ln_bot, -1)
        num_fea = len(ln_emb) + 1
        num_int = num_fea * (num_fea - 1) // 2 + ln_bot[-1]
        self.top_l = self.create_mlp([num_int, *ln_top], len(ln_top) - 1)

    def interact_features(self, x, ly):
        batch_size, d = x.shape
        T = torch.cat([x] + ly, dim=1).view((batch_size, -1, d))
        Z = torch.bmm(T, torch.transpose(T, 1, 2))
        _, ni, nj = Z.shape
        li, lj = torch.tril_indices(ni, nj, offset=-1)
        return torch.cat([x] + [Z[:, li, lj]], dim=1)

    def forward(self, dense_x, sparse_x):
        """dense_x: (batch, 13) floats; sparse_x: (batch, number of tables) rows to look up."""
        x = self.bot_l(dense_x)
        ly = [emb(sparse_x[:, i : i + 1]) for i, emb in enumerate(self.emb_l)]
        return self.top_l(self.interact_features(x, ly))
