"""Actor and critic in one module; forward is not for use, act and evaluate are."""

import torch
import torch.nn as nn
from torch.distributions import Categorical, MultivariateNormal


class RolloutBuffer:
    def __init__(self):
        self.actions, self.states, self.logprobs, self.rewards = [], [], [], []

    def clear(self):
        del self.actions[:], self.states[:], self.logprobs[:], self.rewards[:]


class ActorCritic(nn.Module):
    def __init__(self, state_dim, action_dim, has_continuous_action_space=False, hidden_size=64, action_std_init=0.6):
        super(ActorCritic, self).__init__()
        self.has_continuous_action_space = has_continuous_action_space
        if has_continuous_action_space:
            self.action_var = torch.full((action_dim,), action_std_init * action_std_init)
        layers = [
            nn.Linear(state_dim, hidden_size), nn.Tanh(), nn.Linear(hidden_size, hidden_size), nn.Tanh(),
            nn.Linear(hidden_size, action_dim),
        ]  # fmt: skip
        self.actor = nn.Sequential(*layers) if has_continuous_action_space else nn.Sequential(*layers, nn.Softmax(-1))
        self.critic = nn.Sequential(
            nn.Linear(state_dim, hidden_size), nn.Tanh(), nn.Linear(hidden_size, hidden_size), nn.Tanh(),
            nn.Linear(hidden_size, 1),
        )  # fmt: skip

    def forward(self):
        raise NotImplementedError

    def _dist(self, state):
        if self.has_continuous_action_space:
            return MultivariateNormal(self.actor(state), torch.diag(self.action_var))
        return Categorical(self.actor(state))

    def act(self, state):
        dist = self._dist(state)
        action = dist.sample()
        return action.detach(), dist.log_prob(action).detach(), self.critic(state).detach()

    def evaluate(self, state, action):
        dist = self._dist(state)
        return dist.log_prob(action), self.critic(state), dist.entropy()


class PPO:
    def __init__(self, state_dim, action_dim, lr_actor, lr_critic, gamma, K_epochs, eps_clip):
        self.gamma, self.K_epochs, self.eps_clip = gamma, K_epochs, eps_clip
        self.buffer = RolloutBuffer()
        self.policy = ActorCritic(state_dim, action_dim)
        self.optimizer = torch.optim.Adam(
            [
                {"params": self.policy.actor.parameters(), "lr": lr_actor},
                {"params": self.policy.critic.parameters(), "lr": lr_critic},
            ]
        )
