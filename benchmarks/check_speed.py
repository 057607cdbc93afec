"""How long a check takes, as ratios measured side by side on this machine.

    python benchmarks/check_speed.py            # all three
    python benchmarks/check_speed.py process    # whole processes: check and --help against `import torch`
    python benchmarks/check_speed.py coord      # in process: the audit against microsoft/mup's coordinate check

Prints the median of the ratios of interleaved runs. Both sides have their bytecode, as installed packages do, whatever
PYTHONDONTWRITEBYTECODE says. `coord` needs `pip install --no-deps mup` and pandas.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "fixtures" / "gpt" / "sp.py"
RUNS = 7


def seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def process(arguments: list[str], bytecode: str) -> Callable[[], Any]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
    return lambda: subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)


def ratio(label: str, ours: Callable[[], Any], theirs: Callable[[], Any], runs: int = RUNS) -> None:
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs + 1)][1:]  # the first pair warms the disk cache
    ratios = sorted(a / b for a, b in pairs)
    ours_s, theirs_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"{label}: {statistics.median(ratios):.3f}x  ({ours_s:.3f} s against {theirs_s:.3f} s; "
        f"{ratios[0]:.3f} to {ratios[-1]:.3f} over {runs} pairs)"
    )


def processes() -> None:
    commands = {"--help": ["--help"], "check --no-cache fixtures/gpt/sp.py": ["check", "--no-cache", str(FIXTURE)]}
    with tempfile.TemporaryDirectory() as bytecode:
        bare = process(["-c", "import torch"], bytecode)
        for label, arguments in commands.items():
            ratio(f"muaudit {label} / import torch", process(["-m", "muaudit", *arguments], bytecode), bare)


def coordinate_check() -> None:
    import torch
    from mup.coord_check import get_coord_data
    from torch import nn

    from muaudit.audit import audit
    from muaudit.targets import resolve

    sys.path.insert(0, str(FIXTURE.parent))
    import sp  # type: ignore[import-not-found]

    class Logits(nn.Module):
        """The GPT fixture with logits as its only output, which is what the library drives."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.gpt = sp.GPT(sp.GPTConfig(n_layer=2, n_head=4, n_embd=width, vocab_size=512, block_size=64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.gpt(x, x)[0].flatten(0, 1)  # type: ignore[no-any-return]

    ids = torch.randint(512, (2, 33), generator=torch.Generator().manual_seed(0))
    data = [(ids[:, :-1].contiguous(), ids[:, 1:].flatten())]
    models = {width: (lambda width=width: Logits(width)) for width in (128, 256, 512, 1024)}
    target = resolve(str(FIXTURE))
    quiet = open(os.devnull, "w")  # noqa: SIM115

    def theirs() -> None:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            get_coord_data(models, data, mup=False, optimizer="adamw", lr=1e-3, nsteps=3, nseeds=3, cuda=False)

    ratio(
        "audit / microsoft/mup coordinate check (widths 128 to 1024, 3 steps, 3 seeds)",
        lambda: audit(target),
        theirs,
        3,
    )


if __name__ == "__main__":
    which = sys.argv[1:] or ["process", "coord"]
    if "process" in which:
        processes()
    if "coord" in which:
        coordinate_check()
