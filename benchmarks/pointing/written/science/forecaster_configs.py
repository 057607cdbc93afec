"""Long-horizon forecasting; one Model class per file, its sizes in `configs`."""

import math

import torch
import torch.nn as nn


class PositionalEmbedding(nn.Module):
    def __init__(self, d_model, max_len=5000):
        super(PositionalEmbedding, self).__init__()
        pe = torch.zeros(max_len, d_model).float()
        position = torch.arange(0, max_len).float().unsqueeze(1)
        div_term = (torch.arange(0, d_model, 2).float() * -(math.log(10000.0) / d_model)).exp()
        pe[:, 0::2] = torch.sin(position * div_term)
        pe[:, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe.unsqueeze(0))

    def forward(self, x):
        return self.pe[:, : x.size(1)]


class DataEmbedding(nn.Module):
    def __init__(self, c_in, d_model, dropout=0.1):
        super(DataEmbedding, self).__init__()
        self.value_embedding = nn.Conv1d(c_in, d_model, 3, padding=1, padding_mode="circular", bias=False)
        self.position_embedding = PositionalEmbedding(d_model)
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, x):
        value = self.value_embedding(x.permute(0, 2, 1)).transpose(1, 2)
        return self.dropout(value + self.position_embedding(x))


class EncoderLayer(nn.Module):
    def __init__(self, d_model, n_heads, d_ff, dropout):
        super(EncoderLayer, self).__init__()
        self.n_heads = n_heads
        self.q, self.k = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.v, self.o = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.conv1 = nn.Conv1d(in_channels=d_model, out_channels=d_ff, kernel_size=1)
        self.conv2 = nn.Conv1d(in_channels=d_ff, out_channels=d_model, kernel_size=1)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        B, L, D = x.shape
        q, k, v = (f(x).view(B, L, self.n_heads, -1) for f in (self.q, self.k, self.v))
        scores = torch.einsum("blhe,bshe->bhls", q, k)
        A = self.dropout(torch.softmax(scores / math.sqrt(q.shape[-1]), dim=-1))
        x = self.norm1(x + self.o(torch.einsum("bhls,bshd->blhd", A, v).reshape(B, L, D)))
        y = torch.relu(self.conv1(x.transpose(-1, 1)))
        return self.norm2(x + self.conv2(y).transpose(-1, 1))


class Model(nn.Module):
    def __init__(self, configs):
        super(Model, self).__init__()
        self.task_name = configs.task_name
        self.seq_len, self.pred_len = configs.seq_len, configs.pred_len
        self.enc_embedding = DataEmbedding(configs.enc_in, configs.d_model, configs.dropout)
        self.encoder = nn.ModuleList(
            [
                EncoderLayer(configs.d_model, configs.n_heads, configs.d_ff, configs.dropout)
                for _ in range(configs.e_layers)
            ]
        )
        self.norm = nn.LayerNorm(configs.d_model)
        if self.task_name == "classification":
            self.projection = nn.Linear(configs.d_model * configs.seq_len, configs.num_class)
        else:
            self.predict_linear = nn.Linear(configs.seq_len, configs.pred_len)
            self.projection = nn.Linear(configs.d_model, configs.c_out)

    def forward(self, x_enc, mask=None):
        x = self.enc_embedding(x_enc)
        for layer in self.encoder:
            x = layer(x)
        x = self.norm(x)
        if self.task_name == "classification":
            return self.projection(x.reshape(x.shape[0], -1))
        return self.projection(self.predict_linear(x.permute(0, 2, 1)).permute(0, 2, 1))
