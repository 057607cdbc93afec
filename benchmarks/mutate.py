"""Mutate right models mechanically and count what muaudit finds, blames and leaves in peace.

    python benchmarks/mutate.py                  # the figures of docs/validation.md, and every miss
    python benchmarks/mutate.py --all            # every mutant there is
    python benchmarks/mutate.py --models gpt/table8 --kinds lr --verbose
    python benchmarks/mutate.py --keep out.jsonl --models gpt/*   # part of it; without --models, the whole afterwards
    python benchmarks/mutate.py --alarms 10      # all right models under ten seeds: nothing may be found

What is changed, and how theory decides what must be blamed, stands in mutation/mutants.py and mutation/families.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mutation.judge import Verdict, audit
from mutation.kept import Kept
from mutation.mutants import Mutant, models, mutants, sample
from mutation.subject import load

import muaudit.audit
from muaudit.findings.model import Report
from muaudit.targets import resolve

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from bugs.rows import right_models


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["*"], help="patterns of fixtures, such as gpt/*")
    parser.add_argument("--kinds", nargs="+", default=["*"], help="init, lr, multiplier, constant, attention, gauge, …")
    parser.add_argument("--names", nargs="+", default=["*"], help="patterns of what is changed")
    parser.add_argument("--per-kind", type=int, default=6, help="mutants of each kind of each model")
    parser.add_argument("--all", action="store_true", help="every mutant instead")
    parser.add_argument("--alarms", type=int, metavar="SEEDS", help="audit the right models under so many seeds")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="judge only what FILE does not hold yet, and add it")
    parser.add_argument("--verbose", action="store_true", help="show every mutant, not the misses alone")
    args = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [m for m in models() if any(fnmatchcase(m, p) for p in args.models)]
    if args.alarms:
        return alarms(args.models, args.alarms)
    found = [mutant for model in chosen for mutant in mutants(model)]
    found = [m for m in found if _matches(m, args)]
    return figures(found if args.all else sample(found, args.per_kind), len(found), Kept(args.keep), args.verbose)


def _matches(mutant: Mutant, args: argparse.Namespace) -> bool:
    kind = any(fnmatchcase(mutant.kind, p) for p in args.kinds)
    return kind and any(fnmatchcase(mutant.name, p) for p in args.names)


def figures(chosen: list[Mutant], available: int, kept: Kept, verbose: bool) -> int:
    """Judge the mutants; print every miss, a table by model and kind, and the three figures."""
    began, verdicts = time.perf_counter(), []
    for mutant in chosen:
        verdict = kept.judge(mutant)
        verdicts.append(verdict)
        if verbose or not verdict.exact:
            print(f"{'ok  ' if verdict.exact else 'MISS'} {mutant}\n       said: {verdict.said}", flush=True)
    for title, key in (("model", lambda v: v.mutant.model), ("kind", lambda v: v.mutant.kind)):
        _table(title, verdicts, key)
    wrong = [v for v in verdicts if not v.mutant.equivalent]
    right = [v for v in verdicts if v.mutant.equivalent]
    print(f"\n{len(verdicts)} of {available} mutants in {time.perf_counter() - began:.0f} s")
    print(f"change an invariant   {len(wrong):5}   detected {_share(v.detected for v in wrong)}   "
          f"blamed exactly {_share(v.exact for v in wrong)}")  # fmt: skip
    print(f"equivalent            {len(right):5}   no finding at all {_share(v.exact for v in right)}")
    return int(not all(v.exact for v in verdicts))


def _table(title: str, verdicts: list[Verdict], key) -> None:  # type: ignore[no-untyped-def]
    groups = dict.fromkeys(key(v) for v in verdicts)
    print(f"\n{title:24} {'wrong':>6} {'found':>6} {'blamed':>6}   {'equivalent':>10} {'silent':>6}")
    for group in groups:
        count: Counter[str] = Counter()
        for v in verdicts:
            if key(v) == group and v.mutant.equivalent:
                count.update({"equivalent": 1, "silent": int(v.exact)})
            elif key(v) == group:
                count.update({"wrong": 1, "found": int(v.detected), "blamed": int(v.exact)})
        print(f"{group:24} {count['wrong']:6} {count['found']:6} {count['blamed']:6}   "
              f"{count['equivalent']:10} {count['silent']:6}")  # fmt: skip


def _share(flags) -> str:  # type: ignore[no-untyped-def]
    values = list(flags)
    return f"{sum(values)} ({100 * sum(values) / max(len(values), 1):.1f} %)"


def alarms(patterns: list[str], seeds: int) -> int:
    """Audit every right model of these names under every seed; print every finding that is not advice."""
    with TemporaryDirectory() as folder:
        right = {model: partial(audit, load(model)) for model in models()} | catalogued(Path(folder))
        right = {name: check for name, check in right.items() if any(fnmatchcase(name, p) for p in patterns)}
        false = sum(_alarm(name, seed, check(seed=seed)) for name, check in right.items() for seed in range(seeds))
    print(f"{len(right)} right models × {seeds} seeds: {false} audits with a finding")
    return int(false > 0)


def catalogued(folder: Path) -> dict[str, Callable[..., Report]]:
    """The right models of the catalogue of mistakes, in tests/bugs/rows.py, as files in `folder`."""
    found: dict[str, Callable[..., Report]] = {}
    for number, row in enumerate(right_models()):
        path = folder / f"right_{number}.py"
        path.write_text(row.source(row.right))
        check = partial(muaudit.audit.audit, profile=row.profile, target_width=row.target_width)
        found[f"{row.fixture}, right of {row.number} {row.name}"] = lambda seed, path=path, check=check: check(
            resolve(str(path)), seed=seed
        )
    return found


def _alarm(name: str, seed: int, report: Report) -> bool:
    found = [v for v in report.violations if v.severity != "advice"]
    for v in found:
        print(f"{name}, seed {seed}: {v.rule} {v.pattern} {v.found} → {v.expected}", flush=True)
    for u in report.unanalysed:
        print(f"{name}, seed {seed}: {u.name} not analysed: {u.reason}", flush=True)
    return bool(found or report.unanalysed or report.verdict != "mup")


if __name__ == "__main__":
    sys.exit(main())
