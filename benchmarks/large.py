"""Large models: how long an audit of them takes, and how much memory, each in a process of its own.

    python benchmarks/large.py            # all
    python benchmarks/large.py lists      # a model with and without a million plain elements
    python benchmarks/large.py compiled   # a model with and without a compiled submodule
    python benchmarks/large.py layers     # a GPT of 200 blocks, written out

Prints the median of the ratios of interleaved runs, and seconds and peak memory of the GPT. The aims are a ratio of at
most 2, a minute and 1 GB.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 3
NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 10)
        {more}

    def forward(self, x):
        return self.c(torch.relu(self.b(torch.relu(self.a(x)))))

def build(width):
    return Net(width)

def batch(width):
    return torch.randn(4, 16)
"""
MORE = {
    "lists": "self.l, self.d = list(range(1_000_000)), {i: str(i) for i in range(300_000)}",
    "compiled": "self.b = torch.compile(self.b)",
}
GPT = """
import torch
from torch import nn
from torch.nn import functional as F

class Block(nn.Module):
    def __init__(self, width, heads=4):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (z.view(b, t, self.heads, -1).transpose(1, 2) for z in self.qkv(self.norm1(x)).chunk(3, -1))
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))

class GPT(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embed, self.norm = nn.Embedding(512, width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList([Block(width) for _ in range(200)])
        self.head = nn.Linear(width, 512, bias=False)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

def build(width):
    return GPT(width)

def batch(width):
    return torch.randint(512, (2, 32))
"""


def audited(folder: Path, source: str) -> tuple[float, float, str]:
    """Seconds, peak MiB of the largest process, and the last line of the report."""
    (folder / "model.py").write_text(source)
    code = (
        "import resource, subprocess, sys; subprocess.run([sys.executable, '-m', 'muaudit', 'check', 'model.py', "
        "'--no-cache']); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    begun = time.perf_counter()
    ended = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    *lines, peak = ended.stdout.splitlines()
    return time.perf_counter() - begun, float(peak), lines[-1] if lines else ended.stderr


def main() -> None:
    chosen = sys.argv[1:] or [*MORE, "layers"]
    with tempfile.TemporaryDirectory() as base:
        for name in chosen:
            if name == "layers":
                seconds, peak, last = audited(Path(base), GPT)
                print(f"a GPT of 200 blocks: {seconds:.0f} s, {peak:.0f} MiB: {last}")
                continue
            pairs = [
                (audited(Path(base), NET.format(more=MORE[name]))[0], audited(Path(base), NET.format(more="pass"))[0])
                for _ in range(RUNS)
            ]
            ratio = statistics.median(there / without for there, without in pairs)
            print(f"{name}: {ratio:.2f}x the time without")


if __name__ == "__main__":
    main()
