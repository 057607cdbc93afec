"""Audit random models that are right by construction, and the same with one mistake each.

    python benchmarks/generated.py --n 2000                # counts, and every failure
    python benchmarks/generated.py --n 200 --first 5000 --jobs 2 --json out.jsonl
    python benchmarks/generated.py --n 200 --without guarded lerp   # a grammar without these options
    python benchmarks/generated.py --seed 17 --show        # the file, right and with its mistake
    python benchmarks/generated.py --seed 17 --shrink      # the same failure in the smallest model that has it
    python benchmarks/generated.py --train 100             # does training agree that the right ones are right?

What each tensor needs stands in generated/truth.py, what counts as exact in generated/verdict.py, and what
training checks in generated/training.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from generated.mistakes import mistake
from generated.seeds import GOOD, Grammar, Row, audited, failures, shrunk, text_of
from generated.training import trained


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="one seed alone")
    parser.add_argument("--off", nargs="*", default=[], metavar="CHOICE", help="choices at their plainest")
    parser.add_argument("--without", nargs="*", default=[], metavar="OPTION", help="options that are never taken")
    parser.add_argument("--show", action="store_true", help="print the file of --seed instead of auditing it")
    parser.add_argument("--shrink", action="store_true", help="print the smallest failing model of every failure")
    parser.add_argument("--train", type=int, metavar="N", help="train so many right models instead of auditing them")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="add a line a seed to FILE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    grammar = Grammar(frozenset(args.off), frozenset(args.without))
    seeds = range(args.first, args.first + (args.train or args.n)) if args.seed is None else [args.seed]
    if args.show:
        return show(seeds[0], grammar)
    one = partial(_trained if args.train else audited, grammar=grammar)
    began, rows = time.perf_counter(), []
    for row in _rows(one, seeds, args.jobs):
        rows.append(row)
        if args.json:
            with args.json.open("a") as lines:
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        if args.train:
            _tell_training(row)
            continue
        for part in failures(row):
            _tell(row, part)
            if args.shrink:
                _shrink(row, part, grammar)
    print(f"{len(rows)} seeds in {time.perf_counter() - began:.0f} s")
    return _figures(rows, ("alike", "grows")) if args.train else figures(rows)


def _rows(one: partial[Row], seeds: Sequence[int], jobs: int) -> Iterable[Row]:
    if jobs == 1:
        yield from map(one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, torch.set_num_threads, (1,)) as pool:
        yield from pool.imap(one, seeds, chunksize=4)


def _trained(seed: int, grammar: Grammar) -> Row:
    model = grammar.model(seed)
    return {"seed": seed, "model": model.title, **trained(model)}


def _tell(row: Row, part: str) -> None:
    """A failure, with what was said."""
    print(f"seed {row['seed']}, {part}: {row[part]}   {row['model']}")
    if part == "wrong":
        print(f"    mistake: {row['mistake']}; to blame: {', '.join(row['truth'])}")  # type: ignore[arg-type]
    for words in row[f"{part}_said"]:  # type: ignore[attr-defined]
        print(f"    {words}")
    sys.stdout.flush()


def _tell_training(row: Row) -> None:
    if row["alike"] != "yes" or row["grows"] != "no":
        print(f"seed {row['seed']}: alike {row['alike']}, grows {row['grows']}   {row['model']}\n    {row['measured']}",
              flush=True)  # fmt: skip


def _shrink(row: Row, part: str, grammar: Grammar) -> None:
    seed = int(str(row["seed"]))
    least = shrunk(row, part, grammar)
    print(f"smallest: --seed {seed} --show --off {' '.join(repr(o) for o in sorted(least.off))}")
    _tell(audited(seed, least), part)
    print(text_of(seed, part, least), flush=True)


def show(seed: int, grammar: Grammar) -> int:
    """Print the file, and that with the mistake."""
    model = grammar.model(seed)
    print(model.text())
    wrong = mistake(model)
    if wrong is not None:
        print(f"# {'-' * 100}\n# with one mistake: {wrong.words}; to blame: {', '.join(sorted(wrong.names))}\n")
        print(wrong.model.text())
    return 0


def figures(rows: list[Row]) -> int:
    """The counts; those of mistakes once more for models that are not accused without one."""
    status = _figures(rows, tuple(GOOD))
    print("of those with a right model that nothing is said about:")
    return max(status, _figures([row for row in rows if row["right"] == "right"], ("wrong",)))


def _figures(rows: list[Row], parts: tuple[str, ...]) -> int:
    words = {"right": "right models", "wrong": "with one mistake", "alike": "train as in Table 3", "grows": "grow"}
    for part in parts:
        counts = Counter(str(row[part]) for row in rows if part in row)
        total = sum(counts.values())
        shares = ", ".join(f"{k} {v} ({100 * v / max(total, 1):.1f} %)" for k, v in counts.most_common())
        print(f"{total:5} {words[part]}: {shares}")
    return int(any(failures(row) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
