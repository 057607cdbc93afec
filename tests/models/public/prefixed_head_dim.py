import torch.nn as nn


class Attn(nn.Module):
    def __init__(self, dim, heads, dim_head):
        super().__init__()
        self.heads, self.dim_head = heads, dim_head
        self.qkv = nn.Linear(dim, 3 * heads * dim_head, bias=False)
        self.out = nn.Linear(heads * dim_head, dim, bias=False)

    def forward(self, x):
        B, T, _ = x.shape
        q, k, v = (t.view(B, T, self.heads, self.dim_head).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        a = (q @ k.transpose(-2, -1) * self.dim_head**-0.5).softmax(-1)
        return self.out((a @ v).transpose(1, 2).reshape(B, T, -1))


class Net(nn.Module):
    def __init__(self, dim, num_tokens=512, attn_heads=4, attn_dim_head=32):
        super().__init__()
        self.emb = nn.Embedding(num_tokens, dim)
        self.norm = nn.LayerNorm(dim)
        self.attn = Attn(dim, attn_heads, attn_dim_head)
        self.out_norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_tokens, bias=False)

    def forward(self, x):
        x = self.emb(x)
        x = x + self.attn(self.norm(x))
        return self.head(self.out_norm(x))
