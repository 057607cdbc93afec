# ruff: noqa -- written as people write it
from dataclasses import dataclass, field
import torch.nn as nn


@dataclass
class AttnConfig:
    n_heads: int = 8
    dropout: float = 0.1


@dataclass
class ModelConfig:
    hidden_size: int = 512
    intermediate_size: int = 1536
    vocab_size: int = 1000
    num_hidden_layers: int = 3
    attn: AttnConfig = field(default_factory=AttnConfig)


class LM(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        c = config
        self.e = nn.Embedding(c.vocab_size, c.hidden_size)
        self.a = nn.MultiheadAttention(c.hidden_size, c.attn.n_heads, batch_first=True)
        self.u = nn.Linear(c.hidden_size, c.intermediate_size)
        self.d = nn.Linear(c.intermediate_size, c.hidden_size)
        self.o = nn.Linear(c.hidden_size, c.vocab_size)

    def forward(self, input_ids, labels=None):
        x = self.e(input_ids)
        x = x + self.a(x, x, x)[0]
        x = x + self.d(self.u(x).relu())
        l = self.o(x)
        return {
            "logits": l,
            "loss": nn.functional.cross_entropy(l.flatten(0, 1), labels.flatten()) if labels is not None else None,
        }
