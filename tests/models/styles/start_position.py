# ruff: noqa -- written as people write it
import torch, math
from torch import nn
import torch.nn.functional as F
from dataclasses import dataclass
from typing import Optional


@dataclass
class ModelArgs:
    dim: int = 4096
    n_layers: int = 32
    n_heads: int = 32
    n_kv_heads: Optional[int] = 8
    vocab_size: int = 32000
    hidden_dim: Optional[int] = 11008
    multiple_of: int = 256
    norm_eps: float = 1e-5
    max_seq_len: int = 2048
    dropout: float = 0.1


class RMSNorm(nn.Module):
    def __init__(s, d, eps):
        super().__init__()
        s.weight = nn.Parameter(torch.ones(d))
        s.eps = eps

    def forward(s, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + s.eps) * s.weight


class Attention(nn.Module):
    def __init__(s, args: ModelArgs):
        super().__init__()
        s.h = args.n_heads
        s.kv = args.n_kv_heads or args.n_heads
        s.hd = args.dim // args.n_heads
        assert s.h % s.kv == 0 and s.hd % 2 == 0
        s.wq = nn.Linear(args.dim, s.h * s.hd, bias=False)
        s.wk = nn.Linear(args.dim, s.kv * s.hd, bias=False)
        s.wv = nn.Linear(args.dim, s.kv * s.hd, bias=False)
        s.wo = nn.Linear(s.h * s.hd, args.dim, bias=False)

    def forward(s, x, mask):
        B, T, C = x.shape
        q = s.wq(x).view(B, T, s.h, s.hd).transpose(1, 2)
        k = s.wk(x).view(B, T, s.kv, s.hd).transpose(1, 2).repeat_interleave(s.h // s.kv, 1)
        v = s.wv(x).view(B, T, s.kv, s.hd).transpose(1, 2).repeat_interleave(s.h // s.kv, 1)
        a = (q @ k.transpose(-1, -2) / math.sqrt(s.hd) + mask).softmax(-1)
        return s.wo((a @ v).transpose(1, 2).reshape(B, T, -1))


class FeedForward(nn.Module):
    def __init__(s, args):
        super().__init__()
        s.w1 = nn.Linear(args.dim, args.hidden_dim, bias=False)
        s.w3 = nn.Linear(args.dim, args.hidden_dim, bias=False)
        s.w2 = nn.Linear(args.hidden_dim, args.dim, bias=False)

    def forward(s, x):
        return s.w2(F.silu(s.w1(x)) * s.w3(x))


class TransformerBlock(nn.Module):
    def __init__(s, args):
        super().__init__()
        s.a = Attention(args)
        s.f = FeedForward(args)
        s.n1 = RMSNorm(args.dim, args.norm_eps)
        s.n2 = RMSNorm(args.dim, args.norm_eps)

    def forward(s, x, m):
        x = x + s.a(s.n1(x), m)
        return x + s.f(s.n2(x))


class Transformer(nn.Module):
    def __init__(s, params: ModelArgs):
        super().__init__()
        s.params = params
        s.tok = nn.Embedding(params.vocab_size, params.dim)
        s.layers = nn.ModuleList(TransformerBlock(params) for _ in range(params.n_layers))
        s.norm = RMSNorm(params.dim, params.norm_eps)
        s.output = nn.Linear(params.dim, params.vocab_size, bias=False)

    def forward(s, tokens: torch.Tensor, start_pos: int):
        T = tokens.shape[1]
        m = torch.full((T, T), float("-inf")).triu(1)
        x = s.tok(tokens)
        for l in s.layers:
            x = l(x, m)
        return s.output(s.norm(x)).float()
