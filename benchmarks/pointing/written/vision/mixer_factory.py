from functools import partial

from torch import nn

pair = lambda x: x if isinstance(x, tuple) else (x, x)


class PreNormResidual(nn.Module):
    def __init__(self, dim, fn):
        super().__init__()
        self.fn = fn
        self.norm = nn.LayerNorm(dim)

    def forward(self, x):
        return self.fn(self.norm(x)) + x


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(dim=1)


class Patches(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.unfold = nn.Unfold(size, stride=size)

    def forward(self, x):
        return self.unfold(x).transpose(1, 2)


def FeedForward(dim, dim_hidden, dropout=0.0, dense=nn.Linear):
    return nn.Sequential(
        dense(dim, dim_hidden), nn.GELU(), nn.Dropout(dropout), dense(dim_hidden, dim), nn.Dropout(dropout)
    )


def Mixer(
    *, image_size, channels, patch_size, dim, depth, num_classes, expansion_factor=4, token_factor=0.5, dropout=0.0
):
    image_h, image_w = pair(image_size)
    assert (image_h % patch_size) == 0 and (image_w % patch_size) == 0, "image must be divisible by patch size"
    num_patches = (image_h // patch_size) * (image_w // patch_size)
    chan_first, chan_last = partial(nn.Conv1d, kernel_size=1), nn.Linear
    return nn.Sequential(
        Patches(patch_size),
        nn.Linear((patch_size**2) * channels, dim),
        *[
            nn.Sequential(
                PreNormResidual(dim, FeedForward(num_patches, int(num_patches * token_factor), dropout, chan_first)),
                PreNormResidual(dim, FeedForward(dim, int(dim * expansion_factor), dropout, chan_last)),
            )
            for _ in range(depth)
        ],
        nn.LayerNorm(dim),
        Mean(),
        nn.Linear(dim, num_classes),
    )
