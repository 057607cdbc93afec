import torch
import torch.nn as nn
import torch.nn.functional as F

img2mse = lambda x, y: torch.mean((x - y) ** 2)
mse2psnr = lambda x: -10.0 * torch.log(x) / torch.log(torch.Tensor([10.0]))


class Embedder:
    def __init__(self, multires, input_dims=3):
        self.freqs = 2.0 ** torch.linspace(0.0, multires - 1, steps=multires)
        self.out_dim = input_dims * (1 + 2 * multires)

    def embed(self, inputs):
        waves = [fn(inputs * freq) for freq in self.freqs for fn in (torch.sin, torch.cos)]
        return torch.cat([inputs, *waves], -1)


class NeRF(nn.Module):
    def __init__(self, D=8, W=256, input_ch=3, input_ch_views=3, output_ch=4, skips=[4], use_viewdirs=False):
        super(NeRF, self).__init__()
        self.D, self.W, self.skips = D, W, skips
        self.input_ch, self.input_ch_views, self.use_viewdirs = input_ch, input_ch_views, use_viewdirs
        self.pts_linears = nn.ModuleList(
            [nn.Linear(input_ch, W)]
            + [nn.Linear(W, W) if i not in self.skips else nn.Linear(W + input_ch, W) for i in range(D - 1)]
        )
        self.views_linears = nn.ModuleList([nn.Linear(input_ch_views + W, W // 2)])
        if use_viewdirs:
            self.feature_linear = nn.Linear(W, W)
            self.alpha_linear = nn.Linear(W, 1)
            self.rgb_linear = nn.Linear(W // 2, 3)
        else:
            self.output_linear = nn.Linear(W, output_ch)

    def forward(self, x):
        input_pts, input_views = torch.split(x, [self.input_ch, self.input_ch_views], dim=-1)
        h = input_pts
        for i, _ in enumerate(self.pts_linears):
            h = F.relu(self.pts_linears[i](h))
            if i in self.skips:
                h = torch.cat([input_pts, h], -1)
        if self.use_viewdirs:
            alpha = self.alpha_linear(h)
            h = torch.cat([self.feature_linear(h), input_views], -1)
            for linear in self.views_linears:
                h = F.relu(linear(h))
            return torch.cat([self.rgb_linear(h), alpha], -1)
        return self.output_linear(h)
