"""DQN on a chain of states. Runs as it stands: python dqn_script.py 100000"""

import collections
import random
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F


class Chain:
    def __init__(self, n=16):
        self.n, self.at = n, 0

    def observe(self):
        return F.one_hot(torch.tensor(self.at), self.n).float()

    def step(self, action):
        self.at = min(self.n - 1, self.at + 1) if action else 0
        return self.observe(), float(self.at == self.n - 1)


class QNetwork(nn.Module):
    def __init__(self, obs_dim, n_actions, hidden=128, dueling=False):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(obs_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.advantage = nn.Linear(hidden, n_actions)
        self.value = nn.Linear(hidden, 1) if dueling else None

    def forward(self, obs):
        x = self.trunk(obs)
        q = self.advantage(x)
        return q if self.value is None else q - q.mean(-1, keepdim=True) + self.value(x)


steps = int(sys.argv[1])
env, memory = Chain(), collections.deque(maxlen=10000)
online, target = QNetwork(env.n, 2), QNetwork(env.n, 2)
optimizer = torch.optim.Adam(online.parameters(), lr=1e-3)
obs = env.observe()
for step in range(steps):
    greedy = int(online(obs).argmax())
    action = random.randrange(2) if random.random() < max(0.05, 1 - step / steps) else greedy
    following, reward = env.step(action)
    memory.append((obs, action, reward, following))
    obs = following
    if len(memory) >= 64:
        batch = random.sample(memory, 64)
        o, a, r, f = (torch.stack([torch.as_tensor(each[i]) for each in batch]) for i in range(4))
        with torch.no_grad():
            goal = r + 0.99 * target(f).max(-1).values
        loss = F.smooth_l1_loss(online(o).gather(1, a[:, None])[:, 0], goal)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if step % 500 == 0:
        target.load_state_dict(online.state_dict())
torch.save(online.state_dict(), "dqn.pt")
