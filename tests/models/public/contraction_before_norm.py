import torch.nn as nn

SCALE = False


class Mix(nn.Module):
    def __init__(self, dim, n_head):
        super().__init__()
        self.n_head = n_head
        self.r = nn.Linear(dim, dim, bias=False)
        self.k = nn.Linear(dim, dim, bias=False)
        self.v = nn.Linear(dim, dim, bias=False)
        self.norm = nn.GroupNorm(n_head, dim)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x):
        B, T, C = x.shape
        split = lambda t: t.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        r, k, v = split(self.r(x)), split(self.k(x)), split(self.v(x))
        att = r @ k.transpose(-2, -1)
        if SCALE:
            att = att / (C // self.n_head)
        y = (att.tril() @ v).transpose(1, 2).reshape(B * T, C)
        return self.out(self.norm(y).view(B, T, C))


class Net(nn.Module):
    def __init__(self, dim=256, n_head=4, vocab_size=512):
        super().__init__()
        self.emb = nn.Embedding(vocab_size, dim)
        self.norm = nn.LayerNorm(dim)
        self.mix = Mix(dim, n_head)
        self.out_norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocab_size, bias=False)

    def forward(self, idx):
        x = self.emb(idx)
        x = x + self.mix(self.norm(x))
        return self.head(self.out_norm(x))
