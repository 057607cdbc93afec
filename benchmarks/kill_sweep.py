"""Killing a sweep at random moments: resumed, it ends with the same results file, byte for byte.

    python benchmarks/kill_sweep.py                # 20 kills
    python benchmarks/kill_sweep.py --kills 200 --seed 7

The perceptron in fixtures/mlp/sp.py is swept beside its conversion, run by run and in ensembles. Each life of a sweep
is a forked process that is killed (SIGKILL), half of them after a random time, half before a random one of its
operations on files. The next life goes on with the same results file; once a sweep has ended, its file must be the
undisturbed one's.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from pathlib import Path

from kill_conversion import killed

os.environ.setdefault("OMP_NUM_THREADS", "1")
FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "mlp" / "sp.py"
TOGETHER = (1, 4)


def sweep(results: Path, together: int) -> None:
    """One life: the whole sweep, or the rest of it."""
    from muaudit.sweep.carry_out import carry_out
    from muaudit.sweep.request import Request

    carry_out(
        Request(
            target=str(FIXTURE), widths="16,32,64", lr="2^-10..2^-3", near=2, steps=30, seeds=1, convert=True,
            hp=("weight_decay=0.01,0.1",), together=together, results=results,
        )
    )  # fmt: skip


def hunt(kills: int, seed: int, folder: Path) -> tuple[int, int, list[int]]:
    """Kill that many lives. Returns how many sweeps ended, runs that each holds, and runs found at each kill.

    Raises:
        AssertionError: a results file differs from the undisturbed one's, or something is left behind.
    """
    chance = random.Random(seed)
    whole, seconds = {}, 0.0
    for together in TOGETHER:
        path, start = folder / f"whole{together}.jsonl", time.perf_counter()
        sweep(path, together)
        whole[together], seconds = path.read_bytes(), max(seconds, time.perf_counter() - start)
    found: list[int] = []
    ended, resumed = 0, folder / "resumed.jsonl"
    while len(found) < kills or resumed.exists():
        together = TOGETHER[ended % len(TOGETHER)]
        by_time = len(found) % 2 == 0
        operations = None if by_time else chance.randrange(400)
        last = len(found) >= kills
        if last:
            sweep(resumed, together)
        elif killed(lambda path=resumed, n=together: sweep(path, n), chance.uniform(0, seconds) if by_time else None,
                    operations):  # fmt: skip
            found.append(len(resumed.read_bytes().splitlines()) - 1 if resumed.exists() else 0)
            continue
        assert resumed.read_bytes() == whole[together], f"after {len(found)} kills: {resumed.read_text()[-300:]}"
        resumed.unlink()
        ended += 1
    left = sorted(path.name for path in folder.iterdir())
    assert left == sorted(f"whole{together}.jsonl" for together in TOGETHER), left
    return ended, len(whole[1].splitlines()) - 1, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        ended, runs, found = hunt(given.kills, given.seed, Path(scratch))
    print(f"{given.kills} kills, with {', '.join(map(str, found))} runs kept at each of them")
    print(f"{ended} sweeps of {runs} runs ended, every results file the same as the undisturbed one's")


if __name__ == "__main__":
    main()
