import torch.nn as nn


class Node:
    def __init__(self, **kwargs):
        self.__dict__.update(kwargs)

    def merge_from_dict(self, d):
        self.__dict__.update(d)


class GPT(nn.Module):
    @staticmethod
    def get_default_config():
        c = Node()
        c.model_type = "gpt"
        c.n_layer = None
        c.n_embd = None
        c.vocab_size = None
        return c

    def __init__(self, config):
        super().__init__()
        assert config.vocab_size is not None
        type_given = config.model_type is not None
        params_given = all([config.n_layer is not None, config.n_embd is not None])
        assert type_given ^ params_given
        if type_given:
            config.merge_from_dict(
                {"small": dict(n_layer=2, n_embd=64), "nano": dict(n_layer=1, n_embd=48)}[config.model_type]
            )
        self.emb = nn.Embedding(config.vocab_size, config.n_embd)
        self.h = nn.ModuleList([nn.Linear(config.n_embd, config.n_embd) for _ in range(config.n_layer)])
        self.head = nn.Linear(config.n_embd, config.vocab_size)

    def forward(self, idx):
        x = self.emb(idx)
        for l in self.h:
            x = x + l(x).relu()
        return self.head(x)
