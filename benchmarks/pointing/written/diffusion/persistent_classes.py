"""Score network behind a decorator that remembers how each object was made."""

import copy

import numpy as np
import torch
from torch.nn.functional import silu


def persistent_class(orig_class):
    class Decorator(orig_class):
        _orig_class_name = orig_class.__name__

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self._init_args = copy.deepcopy(args)
            self._init_kwargs = copy.deepcopy(kwargs)

        @property
        def init_kwargs(self):
            return copy.deepcopy(self._init_kwargs)

    Decorator.__name__ = orig_class.__name__
    return Decorator


def weight_init(shape, mode, fan_in, fan_out):
    if mode == "xavier_uniform":
        return np.sqrt(6 / (fan_in + fan_out)) * (torch.rand(*shape) * 2 - 1)
    if mode == "kaiming_normal":
        return np.sqrt(1 / fan_in) * torch.randn(*shape)
    raise ValueError(f'Invalid init mode "{mode}"')


@persistent_class
class Linear(torch.nn.Module):
    def __init__(self, in_features, out_features, bias=True, init_mode="kaiming_normal", init_weight=1):
        super().__init__()
        init_kwargs = dict(mode=init_mode, fan_in=in_features, fan_out=out_features)
        self.weight = torch.nn.Parameter(weight_init([out_features, in_features], **init_kwargs) * init_weight)
        self.bias = torch.nn.Parameter(torch.zeros([out_features])) if bias else None

    def forward(self, x):
        x = x @ self.weight.to(x.dtype).t()
        return x if self.bias is None else x.add_(self.bias.to(x.dtype))


@persistent_class
class Conv2d(torch.nn.Module):
    def __init__(self, in_channels, out_channels, kernel, init_mode="kaiming_normal", init_weight=1):
        super().__init__()
        fans = dict(mode=init_mode, fan_in=in_channels * kernel * kernel, fan_out=out_channels * kernel * kernel)
        self.weight = torch.nn.Parameter(weight_init([out_channels, in_channels, kernel, kernel], **fans) * init_weight)
        self.bias = torch.nn.Parameter(torch.zeros([out_channels]))

    def forward(self, x):
        return torch.nn.functional.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2) + self.bias[:, None, None]


@persistent_class
class ScoreBlock(torch.nn.Module):
    def __init__(self, channels, emb_channels):
        super().__init__()
        self.norm0 = torch.nn.GroupNorm(4, channels)
        self.conv0 = Conv2d(channels, channels, kernel=3)
        self.affine = Linear(emb_channels, channels)
        self.norm1 = torch.nn.GroupNorm(4, channels)
        self.conv1 = Conv2d(channels, channels, kernel=3, init_weight=1e-5)

    def forward(self, x, emb):
        y = self.conv0(silu(self.norm0(x)))
        y = self.conv1(silu(self.norm1(y + self.affine(emb)[:, :, None, None])))
        return (x + y) * np.sqrt(0.5)


@persistent_class
class ScoreNet(torch.nn.Module):
    def __init__(self, img_resolution, in_channels, out_channels, label_dim=0, model_channels=128, num_blocks=4):
        super().__init__()
        self.register_buffer("freqs", torch.randn(16) * 16)
        self.map_label = Linear(label_dim, 32) if label_dim else None
        self.map_layer = Linear(32, model_channels * 4)
        self.conv_in = Conv2d(in_channels, model_channels, kernel=3)
        self.blocks = torch.nn.ModuleList(ScoreBlock(model_channels, model_channels * 4) for _ in range(num_blocks))
        self.out_norm = torch.nn.GroupNorm(4, model_channels)
        self.out_conv = Conv2d(model_channels, out_channels, kernel=3)

    def forward(self, x, noise_labels, class_labels=None):
        emb = noise_labels.ger((2 * np.pi * self.freqs).to(x.dtype))
        emb = torch.cat([emb.cos(), emb.sin()], dim=1)
        if self.map_label is not None:
            emb = emb + self.map_label(class_labels)
        emb = silu(self.map_layer(emb))
        x = self.conv_in(x)
        for block in self.blocks:
            x = block(x, emb)
        return self.out_conv(silu(self.out_norm(x)))


@persistent_class
class Precond(torch.nn.Module):
    """Preconditioning around the network named by model_type."""

    def __init__(
        self, img_resolution, img_channels, label_dim=0, sigma_data=0.5, model_type="ScoreNet", **model_kwargs
    ):
        super().__init__()
        self.sigma_data, self.label_dim = sigma_data, label_dim
        self.model = globals()[model_type](
            img_resolution=img_resolution, in_channels=img_channels, out_channels=img_channels, label_dim=label_dim,
            **model_kwargs,
        )  # fmt: skip

    def forward(self, x, sigma, class_labels=None):
        sigma = sigma.reshape(-1, 1, 1, 1)
        c_skip = self.sigma_data**2 / (sigma**2 + self.sigma_data**2)
        c_out = sigma * self.sigma_data / (sigma**2 + self.sigma_data**2).sqrt()
        c_in = 1 / (self.sigma_data**2 + sigma**2).sqrt()
        return c_skip * x + c_out * self.model(c_in * x, (sigma.log() / 4).flatten(), class_labels)
