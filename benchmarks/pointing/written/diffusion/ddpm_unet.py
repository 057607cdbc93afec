"""Denoising U-Net with keyword-only sizes."""

import math

import torch
import torch.nn as nn


def get_timestep_embedding(timesteps, embedding_dim):
    assert len(timesteps.shape) == 1
    half_dim = embedding_dim // 2
    emb = math.log(10000) / (half_dim - 1)
    emb = torch.exp(torch.arange(half_dim, dtype=torch.float32) * -emb).to(timesteps.device)
    emb = timesteps.float()[:, None] * emb[None, :]
    return torch.cat([torch.sin(emb), torch.cos(emb)], dim=1)


def nonlinearity(x):
    return x * torch.sigmoid(x)


def Normalize(in_channels):
    return nn.GroupNorm(num_groups=8, num_channels=in_channels, eps=1e-6, affine=True)


class ResnetBlock(nn.Module):
    def __init__(self, *, in_channels, out_channels=None, dropout, temb_channels=512):
        super().__init__()
        out_channels = in_channels if out_channels is None else out_channels
        self.norm1 = Normalize(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=1, padding=1)
        self.temb_proj = nn.Linear(temb_channels, out_channels)
        self.norm2 = Normalize(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, stride=1, padding=1)
        self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x, temb):
        h = self.conv1(nonlinearity(self.norm1(x)))
        h = h + self.temb_proj(nonlinearity(temb))[:, :, None, None]
        h = self.conv2(self.dropout(nonlinearity(self.norm2(h))))
        return self.nin_shortcut(x) + h


class AttnBlock(nn.Module):
    def __init__(self, in_channels):
        super().__init__()
        self.norm = Normalize(in_channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(in_channels, in_channels, kernel_size=1) for _ in range(4))

    def forward(self, x):
        b, c, h, w = x.shape
        y = self.norm(x)
        q, k, v = (f(y).reshape(b, c, h * w) for f in (self.q, self.k, self.v))
        w_ = torch.bmm(q.permute(0, 2, 1), k) * (int(c) ** (-0.5))
        y = torch.bmm(v, torch.softmax(w_, dim=2).permute(0, 2, 1)).reshape(b, c, h, w)
        return x + self.proj_out(y)


class Model(nn.Module):
    def __init__(self, *, ch, out_ch, ch_mult=(1, 2, 4), num_res_blocks, attn_resolutions, dropout=0.0, in_channels,
                 resolution):  # fmt: skip
        super().__init__()
        self.ch, self.temb_ch = ch, ch * 4
        self.num_resolutions, self.num_res_blocks, self.resolution = len(ch_mult), num_res_blocks, resolution
        self.temb = nn.ModuleList([nn.Linear(self.ch, self.temb_ch), nn.Linear(self.temb_ch, self.temb_ch)])
        self.conv_in = nn.Conv2d(in_channels, ch, kernel_size=3, stride=1, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips, block_in, res = [ch], ch, resolution
        for level, mult in enumerate(ch_mult):
            for _ in range(num_res_blocks):
                block = nn.Module()
                block.res = self._block(block_in, ch * mult, dropout)
                block.attn = AttnBlock(ch * mult) if res in attn_resolutions else nn.Identity()
                self.down.append(block)
                block_in = ch * mult
                skips.append(block_in)
            if level != len(ch_mult) - 1:
                block = nn.Module()
                block.res, block.attn = None, nn.Conv2d(block_in, block_in, 3, stride=2, padding=1)
                self.down.append(block)
                skips.append(block_in)
                res //= 2
        self.mid = self._block(block_in, block_in, dropout)
        for level, mult in reversed(list(enumerate(ch_mult))):
            for i in range(num_res_blocks + 1):
                block = nn.Module()
                block.res = self._block(block_in + skips.pop(), ch * mult, dropout)
                block.upsample = level != 0 and i == num_res_blocks
                self.up.append(block)
                block_in = ch * mult
        self.norm_out = Normalize(block_in)
        self.conv_out = nn.Conv2d(block_in, out_ch, kernel_size=3, stride=1, padding=1)

    def _block(self, cin, cout, dropout):
        return ResnetBlock(in_channels=cin, out_channels=cout, temb_channels=self.temb_ch, dropout=dropout)

    def forward(self, x, t):
        assert x.shape[2] == x.shape[3] == self.resolution
        temb = self.temb[1](nonlinearity(self.temb[0](get_timestep_embedding(t, self.ch))))
        hs = [self.conv_in(x)]
        for block in self.down:
            hs.append(block.attn(hs[-1] if block.res is None else block.res(hs[-1], temb)))
        h = self.mid(hs[-1], temb)
        for block in self.up:
            h = block.res(torch.cat([h, hs.pop()], dim=1), temb)
            if block.upsample:
                h = nn.functional.interpolate(h, scale_factor=2.0, mode="nearest")
        return self.conv_out(nonlinearity(self.norm_out(h)))
