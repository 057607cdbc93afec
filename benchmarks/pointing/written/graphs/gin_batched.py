"""Graph classification: node features, an edge list and the graph that each node belongs to."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import BatchNorm1d, Linear, ModuleList, ReLU, Sequential


class GINConv(torch.nn.Module):
    def __init__(self, nn: torch.nn.Module, eps: float = 0.0, train_eps: bool = True):
        super().__init__()
        self.nn = nn
        self.eps = torch.nn.Parameter(torch.tensor([eps])) if train_eps else eps

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        src, dst = edge_index
        out = torch.zeros_like(x).index_add(0, dst, x[src])
        return self.nn(out + (1 + self.eps) * x)


def global_mean_pool(x: Tensor, batch: Tensor) -> Tensor:
    size = int(batch.max()) + 1
    count = torch.bincount(batch, minlength=size).clamp(min=1).unsqueeze(1)
    return x.new_zeros(size, x.shape[1]).index_add(0, batch, x) / count


class GIN(torch.nn.Module):
    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, num_layers: int = 3,
                 dropout: float = 0.5):  # fmt: skip
        super().__init__()
        self.dropout = dropout
        self.convs = ModuleList()
        for i in range(num_layers):
            mlp = Sequential(
                Linear(in_channels if i == 0 else hidden_channels, hidden_channels), BatchNorm1d(hidden_channels),
                ReLU(), Linear(hidden_channels, hidden_channels),
            )  # fmt: skip
            self.convs.append(GINConv(mlp))
        self.lin1 = Linear(hidden_channels, hidden_channels)
        self.lin2 = Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x, edge_index).relu()
        x = self.lin1(global_mean_pool(x, batch)).relu()
        return self.lin2(F.dropout(x, p=self.dropout, training=self.training))
