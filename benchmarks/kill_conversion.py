"""Killing a conversion at random moments: the output folder is what it was, or all of what it is to be.

    python benchmarks/kill_conversion.py               # 50 kills
    python benchmarks/kill_conversion.py --kills 500 --seed 7
    python benchmarks/kill_conversion.py --dcp         # of a torch.distributed.checkpoint folder

Each conversion runs in a forked process that is killed (SIGKILL), half of them after a random time, half before a
random one of its system calls on files. Then the folder must hold the old files or the new ones, byte for byte, the
checkpoint must be untouched, and a run that is left alone must succeed and leave nothing else behind.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path


def digest(folder: Path) -> dict[str, str]:
    """Every file of a folder by its hash; empty where there is no folder."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def make_checkpoint(folder: Path, seed: int, dcp: bool = False) -> Path:
    """A sharded checkpoint of the perceptron in fixtures/mlp/sp.py at width 512."""
    import json

    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    torch.manual_seed(seed)
    shapes = {"embed": (512, 16), **{f"hidden.{i}": (512, 512) for i in range(3)}, "readout": (10, 512)}
    tensors = {f"{name}.weight": torch.randn(shape) * 0.02 for name, shape in shapes.items()}
    tensors |= {f"{name}.bias": torch.randn(shape[0]) for name, shape in shapes.items()}
    if dcp:
        from torch.distributed.checkpoint import FileSystemWriter, save

        save(tensors, storage_writer=FileSystemWriter(folder, single_file_per_rank=False), no_dist=True)
        return folder / ".metadata"
    places = {}
    for number in range(4):
        name = f"model-{number + 1:05}-of-00004.safetensors"
        part = dict(list(tensors.items())[number::4])
        save_file(part, folder / name, metadata={"format": "pt"})
        places.update(dict.fromkeys(part, name))
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def conversion(source: Path, out: Path) -> Callable[[], object]:
    """The writing of a conversion, planned and checked."""
    from muaudit.convert.output_folder import Wanted, prepare_output
    from muaudit.convert.planner import make_plan
    from muaudit.targets import TargetOptions, resolve

    fixture = Path(__file__).resolve().parent.parent / "fixtures" / "mlp" / "sp.py"
    target = resolve(str(fixture), TargetOptions())
    plan = make_plan(target, 64, 512)
    return lambda: prepare_output(target, target, "", plan, Wanted(out, state_dict=source, fresh=True)).write(
        lambda size: None
    )


def killed(run: Callable[[], object], seconds: float | None, calls: int | None) -> bool:
    """Run in a fork and kill it; False where it was done before."""
    child = os.fork()
    if not child:
        try:
            if calls is not None:
                _die_after(calls)
            run()
        finally:
            os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _die_after(calls: int) -> None:
    """Kill this process before its nth operation on files: Python announces each to its audit hooks."""
    left = [calls]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(("open", "os.", "shutil.", "ctypes.")) and event != "os.kill":
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def operations(run: Callable[[], object]) -> int:
    """How many operations on files a run has: found by halving."""
    low, high = 0, 1 << 14
    while low < high:
        middle = (low + high) // 2
        if killed(run, None, middle):
            low = middle + 1
        else:
            high = middle
    return low


def hunt(kills: int, seed: int, folder: Path, dcp: bool = False) -> Counter[str]:
    """Kill that many conversions. Returns how often the old and how often the new state was found.

    Raises:
        AssertionError: neither was found, or something was lost or left behind.
    """
    chance = random.Random(seed)
    out = folder / "out"
    before = make_checkpoint(folder / "earlier", 1, dcp)
    conversion(before, out)()
    (out / "runs").mkdir()
    (out / "runs" / "notes.txt").write_text("the user's own")
    shutil.copytree(out, folder / "kept")
    source = make_checkpoint(folder / "in", 2, dcp)
    run = conversion(source, out)
    old, untouched = digest(out), digest(source.parent)
    start = time.perf_counter()
    run()
    length, new = time.perf_counter() - start, digest(out)
    assert old.keys() == new.keys()
    assert old != new
    count = operations(run)
    found: Counter[str] = Counter()
    for number in range(kills):
        if digest(out) != old:
            shutil.rmtree(out)
            shutil.copytree(folder / "kept", out)
        by_time = number % 2 == 0
        killed(run, chance.uniform(0, length * 1.2) if by_time else None, None if by_time else chance.randrange(count))
        state = digest(out)
        assert state in (old, new), f"kill {number}: neither old nor new: {sorted(state)}"
        assert digest(source.parent) == untouched
        found["new" if state == new else "old"] += 1
    run()
    assert digest(out) == new
    assert sorted(path.name for path in folder.iterdir()) == ["earlier", "in", "kept", "out"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dcp", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = hunt(given.kills, given.seed, Path(scratch), given.dcp)
    print(f"{given.kills} kills: {found['old']} times the old state, {found['new']} times the new one, never another")


if __name__ == "__main__":
    main()
