"""Killing a sweep at random moments: resumed, it ends with the same results file, byte for byte.

    python benchmarks/kill_sweep.py                # 20 kills
    python benchmarks/kill_sweep.py --kills 200 --seed 7

The perceptron in fixtures/mlp/sp.py is swept, run by run and in ensembles, and so is, by `--command`, a script that
knows nothing of muaudit. Each life of a sweep is a forked process that is killed (SIGKILL): every other one after a
random time, the rest when a random one of their writes is half done. The next life goes on with the same results file;
once a sweep has ended, its file must be the undisturbed one's.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "mlp" / "sp.py"
BY_COMMAND = 0
TOGETHER = (1, 4, BY_COMMAND)
SCRIPT = """
import math, sys
width, lr, seed = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
print("loss", 2 - 0.1 * math.log2(width) + 0.02 * (math.log2(lr) + 7) ** 2 + 0.001 * seed)
"""


def sweep(results: Path, together: int) -> None:
    """One life: the whole sweep, or the rest of it."""
    from muaudit.sweep.command_task import carry_out_elsewhere
    from muaudit.sweep.sweep_request import SweepRequest
    from muaudit.sweep.sweep_task import carry_out

    if together == BY_COMMAND:
        script = results.parent / "script.tmp"
        script.write_text(SCRIPT)
        command = f"{sys.executable} -S {script} {{width}} {{lr}} {{seed}}"
        carry_out_elsewhere(
            SweepRequest(command=command, widths="16,32,64", lr="2^-10..2^-4", near=2, seeds=2, results=results)
        )
        return
    carry_out(
        SweepRequest(
            target=str(FIXTURE), widths="16,32,64", lr="2^-10..2^-4", near=2, steps=30, seeds=2,
            hp=("weight_decay=0.01,0.1",), together=together, results=results,
        )
    )  # fmt: skip


def killed(results: Path, together: int, seconds: float | None, writes: int) -> bool:
    """Sweep in a fork that is killed after so many seconds, or else in a write; False where it was done before.

    Raises:
        AssertionError: it failed of itself.
    """
    child = os.fork()
    if not child:
        try:
            if seconds is None:
                _die_in_write(writes)
            sweep(results, together)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"a sweep failed: {status}"
    return status != 0


def _die_in_write(writes: int) -> None:
    """Kill this process when one of the writes to the results file is half done."""
    left, write = [writes], os.write

    def half(file: int, data: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            write(file, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(file, data)

    os.write = half  # type: ignore[assignment]


def hunt(kills: int, seed: int, folder: Path) -> tuple[int, int, list[int]]:
    """Kill that many lives. Returns how many sweeps ended, runs that each holds, and lines found at each kill.

    Raises:
        AssertionError: a results file differs from the undisturbed one's, or something is left behind.
    """
    chance = random.Random(seed)
    whole, seconds = {}, 0.0
    for together in TOGETHER:
        path, start = folder / f"whole{together}.jsonl", time.perf_counter()
        sweep(path, together)
        whole[together], seconds = path.read_bytes(), max(seconds, time.perf_counter() - start)
    runs = len(whole[1].splitlines()) - 1
    found: list[int] = []
    ended, resumed = 0, folder / "resumed.jsonl"
    while len(found) < kills or resumed.exists():
        together = TOGETHER[ended % len(TOGETHER)]
        if len(found) >= kills:
            sweep(resumed, together)
        else:
            by_time = chance.uniform(0, 0.7 * seconds) if len(found) % 2 else None
            if killed(resumed, together, by_time, chance.randrange(runs // max(1, together))):
                found.append(max(0, len(resumed.read_bytes().splitlines()) - 1) if resumed.exists() else 0)
                continue
        assert resumed.read_bytes() == whole[together], f"after {len(found)} kills: {resumed.read_text()[-300:]}"
        resumed.unlink()
        ended += 1
    left = sorted(path.name for path in folder.iterdir() if not path.name.endswith(".tmp"))
    assert left == sorted(f"whole{together}.jsonl" for together in TOGETHER), left
    return ended, runs, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        ended, runs, found = hunt(given.kills, given.seed, Path(scratch))
    print(f"{given.kills} kills, with {', '.join(map(str, found))} of {runs} runs on file after each of them")
    print(f"{ended} sweeps ended, every results file the same as the undisturbed one's")


if __name__ == "__main__":
    main()
