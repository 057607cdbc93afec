"""Audit random models that are right by construction, and the same with one mistake each.

    python benchmarks/generated.py --n 2000                # counts, and every failure
    python benchmarks/generated.py --n 200 --first 5000 --jobs 2 --json out.jsonl
    python benchmarks/generated.py --seed 17 --show        # the file, right and with its mistake
    python benchmarks/generated.py --seed 17 --shrink      # the same failure in the smallest model that has it

What each tensor needs stands in generated/truth.py, what counts as exact in generated/verdict.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from generated.mistakes import mistake
from generated.model import generate
from generated.shrink import shrink
from generated.verdict import Said, of_mistake, of_right

Row = dict[str, object]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="one seed alone")
    parser.add_argument("--off", nargs="*", default=[], metavar="CHOICE", help="choices at their plainest")
    parser.add_argument("--show", action="store_true", help="print the file of --seed instead of auditing it")
    parser.add_argument("--shrink", action="store_true", help="print the smallest failing model of every failure")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="add a line a seed to FILE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(args.first, args.first + args.n) if args.seed is None else [args.seed]
    if args.show:
        return show(seeds[0], frozenset(args.off))
    began, rows = time.perf_counter(), []
    for row in _rows(seeds, frozenset(args.off), args.jobs):
        rows.append(row)
        if args.json:
            with args.json.open("a") as lines:
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        _tell(row)
        if args.shrink:
            _shrunk(row, frozenset(args.off))
    return figures(rows, time.perf_counter() - began)


def audited(seed: int, off: frozenset[str] = frozenset(), parts: Iterable[str] = ("right", "wrong")) -> Row:
    """What is said about the model of this seed, and about it with its mistake."""
    model = generate(seed, off)
    row: Row = {"seed": seed, "model": model.title}
    wrong = mistake(model) if "wrong" in parts else None
    with TemporaryDirectory() as folder:
        if "right" in parts:
            row |= _said("right", of_right(model, Path(folder)))
        if wrong is not None:
            row |= {"mistake": wrong.words, "truth": sorted(wrong.names)}
            row |= _said("wrong", of_mistake(wrong, Path(folder)))
    return row


def _said(part: str, said: Said) -> Row:
    return {part: said.outcome, f"{part}_said": list(said.words)}


def _rows(seeds: Iterable[int], off: frozenset[str], jobs: int) -> Iterable[Row]:
    one = partial(audited, off=off)
    if jobs == 1:
        yield from map(one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, torch.set_num_threads, (1,)) as pool:
        yield from pool.imap(one, seeds, chunksize=4)


def _tell(row: Row) -> None:
    """Every failure, with what was said."""
    for part, good in (("right", "right"), ("wrong", "exact")):
        if row.get(part, good) != good:
            print(f"seed {row['seed']}, {part}: {row[part]}   {row['model']}")
            if part == "wrong":
                print(f"    mistake: {row['mistake']}; to blame: {', '.join(row['truth'])}")  # type: ignore[arg-type]
            for words in row[f"{part}_said"]:  # type: ignore[attr-defined]
                print(f"    {words}")
            sys.stdout.flush()


def _shrunk(row: Row, off: frozenset[str]) -> None:
    seed = int(str(row["seed"]))
    for part, good in (("right", "right"), ("wrong", "exact")):
        if row.get(part, good) == good:
            continue

        def fails(more: frozenset[str], part: str = part) -> bool:
            try:
                return audited(seed, off | more, (part,)).get(part) == row[part]
            except AssertionError:
                return False

        least = off | shrink(seed, fails)
        _tell(audited(seed, least, (part,)))
        print(f"--seed {seed} --show --off {' '.join(repr(o) for o in sorted(least))}\n")
        model = generate(seed, least)
        wrong = mistake(model) if part == "wrong" else None
        print(wrong.model.text() if wrong is not None else model.text(), flush=True)


def show(seed: int, off: frozenset[str]) -> int:
    model = generate(seed, off)
    print(model.text())
    wrong = mistake(model)
    if wrong is not None:
        print(f"# {'-' * 100}\n# with one mistake: {wrong.words}; to blame: {', '.join(sorted(wrong.names))}\n")
        print(wrong.model.text())
    return 0


def figures(rows: list[Row], seconds: float) -> int:
    """The counts."""
    for part, good in (("right", "right"), ("wrong", "exact")):
        counts = Counter(str(row[part]) for row in rows if part in row)
        total = sum(counts.values())
        shares = ", ".join(f"{k} {v} ({100 * v / max(total, 1):.1f} %)" for k, v in counts.most_common())
        print(f"{total:5} {'right models' if good == 'right' else 'with one mistake'}: {shares}")
    print(f"{len(rows)} seeds in {seconds:.0f} s")
    return int(any(row.get("right") != "right" or row.get("wrong", "exact") != "exact" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
