import torch
from torch import nn


def unsorted_segment_sum(data, segment_ids, num_segments):
    result = data.new_zeros(num_segments, data.size(1))
    return result.scatter_add(0, segment_ids.unsqueeze(-1).expand(-1, data.size(1)), data)


class E_GCL(nn.Module):
    """E(n) equivariant convolutional layer."""

    def __init__(self, input_nf, output_nf, hidden_nf, edges_in_d=0, act_fn=nn.SiLU(), residual=True):
        super().__init__()
        self.residual = residual
        self.edge_mlp = nn.Sequential(
            nn.Linear(input_nf * 2 + 1 + edges_in_d, hidden_nf), act_fn, nn.Linear(hidden_nf, hidden_nf), act_fn
        )
        self.node_mlp = nn.Sequential(
            nn.Linear(hidden_nf + input_nf, hidden_nf), act_fn, nn.Linear(hidden_nf, output_nf)
        )
        layer = nn.Linear(hidden_nf, 1, bias=False)
        torch.nn.init.xavier_uniform_(layer.weight, gain=0.001)
        self.coord_mlp = nn.Sequential(nn.Linear(hidden_nf, hidden_nf), act_fn, layer)

    def forward(self, h, edge_index, coord, edge_attr=None):
        row, col = edge_index
        coord_diff = coord[row] - coord[col]
        radial = torch.sum(coord_diff**2, 1).unsqueeze(1)
        out = [h[row], h[col], radial] if edge_attr is None else [h[row], h[col], radial, edge_attr]
        edge_feat = self.edge_mlp(torch.cat(out, dim=1))
        coord = coord + unsorted_segment_sum(coord_diff * self.coord_mlp(edge_feat), row, coord.size(0))
        agg = torch.cat([h, unsorted_segment_sum(edge_feat, row, h.size(0))], dim=1)
        out = self.node_mlp(agg)
        return (h + out if self.residual else out), coord


class EGNN(nn.Module):
    def __init__(self, in_node_nf, hidden_nf, out_node_nf, in_edge_nf=0, device="cpu", act_fn=nn.SiLU(), n_layers=4):
        super().__init__()
        self.n_layers = n_layers
        self.embedding_in = nn.Linear(in_node_nf, hidden_nf)
        self.embedding_out = nn.Linear(hidden_nf, out_node_nf)
        for i in range(n_layers):
            self.add_module("gcl_%d" % i, E_GCL(hidden_nf, hidden_nf, hidden_nf, edges_in_d=in_edge_nf, act_fn=act_fn))
        self.to(device)

    def forward(self, h, x, edges, edge_attr):
        h = self.embedding_in(h)
        for i in range(self.n_layers):
            h, x = self._modules["gcl_%d" % i](h, edges, x, edge_attr=edge_attr)
        return self.embedding_out(h), x


if __name__ == "__main__":
    n_nodes = 4
    rows, cols = torch.nonzero(1 - torch.eye(n_nodes), as_tuple=True)
    egnn = EGNN(in_node_nf=1, hidden_nf=32, out_node_nf=1, in_edge_nf=1)
    print(egnn(torch.ones(n_nodes, 1), torch.ones(n_nodes, 3), [rows, cols], torch.ones(len(rows), 1)))
