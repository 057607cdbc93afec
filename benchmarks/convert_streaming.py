"""Converting a sharded checkpoint against copying its files: time side by side, and the memory it takes.

    python benchmarks/convert_streaming.py                 # 10 GB in bfloat16, files of 2 GB
    python benchmarks/convert_streaming.py --gigabytes 1 --folder /scratch --runs 5
    python benchmarks/convert_streaming.py --dcp           # a torch.distributed.checkpoint folder in one file
    python benchmarks/convert_streaming.py --source /scratch/in    # write the checkpoint there and keep it, or use it

Writes a checkpoint of fixtures/gpt/sp.py at width 4096, then copies its files (`cp`, then fsync) and converts it in a
new process (fsync too), in turns, the page cache emptied of the files before each, and which comes first alternating.
Prints the ratio of the medians for writing alone and for the whole process, and the peak memory over that of a process
that plans and writes nothing. Needs twice the size on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "fixtures" / "gpt" / "sp.py"
WIDTH, BASE, VOCABULARY, BLOCK = 4096, 128, 4096, 64
PER_LAYER = 12 * WIDTH * WIDTH * 2


def settings(layers: int) -> list[str]:
    return [f"n_layer={layers}", f"vocab_size={VOCABULARY}", f"block_size={BLOCK}", "n_head=2"]


def write_checkpoint(folder: Path, layers: int, shard_bytes: int, dcp: bool) -> None:
    """A bfloat16 checkpoint in shards, with an index or as torch.distributed.checkpoint has it."""
    import torch
    from safetensors.torch import save_file

    from muaudit.targets.loader import load_file
    from muaudit.targets.skeleton import skeleton_of

    module = load_file(TARGET)
    with torch.device("meta"):
        model = module.GPT(
            module.GPTConfig(n_layer=layers, vocab_size=VOCABULARY, block_size=BLOCK, n_head=2, n_embd=WIDTH)
        )
    parts: list[dict[str, tuple[int, ...]]] = [{}]
    size = 0
    for names, shape in skeleton_of(model).parameters.items():
        if size > shard_bytes:
            parts.append({})
            size = 0
        parts[-1][names[0]] = shape
        size += 2 * torch.Size(shape).numel()
    places: dict[str, str] = {}
    drawn = {shape: (torch.randn(shape) * 0.02).bfloat16() for part in parts for shape in set(part.values())}
    if dcp:
        from torch.distributed.checkpoint import save

        save({key: drawn[shape] for part in parts for key, shape in part.items()}, checkpoint_id=folder, no_dist=True)
        return
    for number, part in enumerate(parts, 1):
        name = f"model-{number:05}-of-{len(parts):05}.safetensors"
        tensors = {key: drawn[shape].clone() for key, shape in part.items()}
        save_file(tensors, folder / name, metadata={"format": "pt"})
        places.update(dict.fromkeys(part, name))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def convert(source: Path | None, out: Path, layers: int) -> None:
    """In a process of its own: convert, and print how long the writing took."""
    from muaudit.convert.output_folder import Wanted, prepare_output
    from muaudit.convert.planner import make_plan
    from muaudit.targets import TargetOptions, resolve
    from muaudit.targets.options import parse_set
    from muaudit.targets.whole import whole

    options = TargetOptions(set=parse_set(settings(layers)))
    target = resolve(str(TARGET), options)
    plan = make_plan(target, BASE, WIDTH)
    full, why = whole(target, options, lambda changed: resolve(str(TARGET), changed))
    if source is None:
        print(json.dumps(0.0))
        return
    output = prepare_output(target, full, why, plan, Wanted(out, state_dict=source, fresh=True))
    forget(source)
    start = time.perf_counter()
    output.write(lambda size: None)
    print(json.dumps(time.perf_counter() - start))


def forget(folder: Path) -> None:
    """Drop the files from the page cache."""
    for file in folder.iterdir():
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def copy_seconds(source: Path, out: Path) -> float:
    forget(source)
    start = time.perf_counter()
    subprocess.run(["cp", "-r", str(source), str(out)], check=True)
    for file in out.iterdir():
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    seconds = time.perf_counter() - start
    shutil.rmtree(out)
    return seconds


def child(source: Path | None, out: Path, layers: int) -> tuple[float, float, int]:
    """Seconds of writing, of the whole process, and its peak memory in bytes."""
    start = time.perf_counter()
    arguments = [sys.executable, __file__, "--child", str(source or ""), "--folder", str(out), "--layers", str(layers)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit("the conversion failed")
    shutil.rmtree(out, ignore_errors=True)
    return json.loads(text.splitlines()[-1]), seconds, usage.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--source", type=Path, default=None, help="the checkpoint's folder, kept afterwards")
    parser.add_argument("--dcp", action="store_true")
    parser.add_argument("--child", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--layers", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        if given.child.startswith("write"):
            write_checkpoint(given.folder, given.layers, int(2e9), given.child.endswith("dcp"))
        else:
            convert(Path(given.child) if given.child else None, given.folder, given.layers)
        return
    layers = max(1, round(given.gigabytes * 1e9 / PER_LAYER))
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        source, out = given.source or Path(scratch) / "in", Path(scratch) / "out"
        if not source.exists():
            source.mkdir()
            # In another process: a child's peak memory counts what its parent had when it was forked.
            kind = "write-dcp" if given.dcp else "write"
            command = [sys.executable, __file__, "--child", kind, "--folder", str(source), "--layers", str(layers)]
            subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, stdout=subprocess.DEVNULL)
        size = sum(file.stat().st_size for file in source.iterdir())
        print(f"{size / 1e9:.2f} GB in {len(list(source.iterdir())) - 1} shards, largest tensor "
              f"{4 * WIDTH * WIDTH * 2 / 1e6:.0f} MB")  # fmt: skip
        idle = child(None, out, layers)
        copies, writes, wholes, peaks = [], [], [], []
        for number in range(given.runs):
            if number % 2 == 0:
                copies.append(copy_seconds(source, out))
            written, seconds, peak = child(source, out, layers)
            if number % 2:
                copies.append(copy_seconds(source, out))
            writes.append(written)
            wholes.append(seconds)
            peaks.append(peak)
            print(f"copy {copies[-1]:.1f} s, convert {written:.1f} s of writing, {seconds:.1f} s in all, "
                  f"peak {peak / 1e6:.0f} MB", flush=True)  # fmt: skip
        copied = statistics.median(copies)
        print(f"speed against copying: writing {copied / statistics.median(writes):.2f}x, "
              f"whole process {copied / statistics.median(wholes):.2f}x")  # fmt: skip
        print(f"peak memory: {max(peaks) / 1e6:.0f} MB, {(max(peaks) - idle[2]) / 1e6:.0f} MB more than planning alone")


if __name__ == "__main__":
    main()
