"""Return-conditioned sequence modelling of trajectories."""

import torch
import torch.nn as nn


class Block(nn.Module):
    def __init__(self, hidden_size, n_head):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(hidden_size), nn.LayerNorm(hidden_size)
        self.n_head = n_head
        self.qkv, self.proj = nn.Linear(hidden_size, 3 * hidden_size), nn.Linear(hidden_size, hidden_size)
        self.fc, self.out = nn.Linear(hidden_size, 4 * hidden_size), nn.Linear(4 * hidden_size, hidden_size)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (z.view(b, t, self.n_head, -1).transpose(1, 2) for z in self.qkv(self.ln1(x)).chunk(3, -1))
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, d))
        return x + self.out(torch.relu(self.fc(self.ln2(x))))


class TrajectoryTransformer(nn.Module):
    """(return_1, state_1, action_1, return_2, state_2, ...) in, actions out."""

    def __init__(self, state_dim, act_dim, hidden_size, n_layer=3, n_head=4, max_length=20, max_ep_len=1000,
                 action_tanh=True):  # fmt: skip
        super().__init__()
        self.state_dim, self.act_dim, self.hidden_size = state_dim, act_dim, hidden_size
        self.embed_timestep = nn.Embedding(max_ep_len, hidden_size)
        self.embed_return = nn.Linear(1, hidden_size)
        self.embed_state = nn.Linear(self.state_dim, hidden_size)
        self.embed_action = nn.Linear(self.act_dim, hidden_size)
        self.embed_ln = nn.LayerNorm(hidden_size)
        self.transformer = nn.ModuleList([Block(hidden_size, n_head) for _ in range(n_layer)])
        self.predict_state = nn.Linear(hidden_size, self.state_dim)
        self.predict_action = nn.Sequential(
            *([nn.Linear(hidden_size, self.act_dim)] + ([nn.Tanh()] if action_tanh else []))
        )
        self.predict_return = nn.Linear(hidden_size, 1)

    def forward(self, states, actions, returns_to_go, timesteps):
        batch_size, seq_length = states.shape[0], states.shape[1]
        time_embeddings = self.embed_timestep(timesteps)
        states = self.embed_state(states) + time_embeddings
        actions = self.embed_action(actions) + time_embeddings
        returns = self.embed_return(returns_to_go) + time_embeddings
        stacked = torch.stack((returns, states, actions), dim=1).permute(0, 2, 1, 3)
        x = self.embed_ln(stacked.reshape(batch_size, 3 * seq_length, self.hidden_size))
        for block in self.transformer:
            x = block(x)
        x = x.reshape(batch_size, seq_length, 3, self.hidden_size).permute(0, 2, 1, 3)
        return self.predict_state(x[:, 2]), self.predict_action(x[:, 1]), self.predict_return(x[:, 2])
