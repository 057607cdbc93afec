"""Whether `muaudit coord-check` is right: on the fixtures, on what `convert` makes of them, and on planted bugs.

    python benchmarks/coord_check_verdicts.py fixtures --base-seeds 10   # µP passes, SP fails, whatever the seed
    python benchmarks/coord_check_verdicts.py bugs [mlp gpt ...]         # the planted place among the first offenders

Widths are the fixture's first times 1, 2, 4 and 8 (`--widths 4` of them). Exits 1 when a verdict is wrong. A bug that
leaves every activation's size alone (a bias that stops learning beside a weight that does not) is listed as not seen: a
coordinate check cannot see it, `check` does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bugs.catalogue import BUGS, Bug  # noqa: E402
from bugs.plant import Edit, Fixture, fixture  # noqa: E402

from muaudit.convert.planned import planned  # noqa: E402
from muaudit.target import from_functions, resolve  # noqa: E402
from muaudit.target.probe import Target  # noqa: E402
from muaudit.training.judge import Verdict, judge  # noqa: E402
from muaudit.training.run import measure  # noqa: E402
from muaudit.training.settings import Settings  # noqa: E402

FIXTURES = ROOT / "fixtures"
FIRST = 3


def verdict(target: Target, args: argparse.Namespace, seed: int = 0) -> Verdict:
    first = target.axes[0].probes[0]
    widths = tuple(first * 2**power for power in range(args.widths))
    return judge(measure(target, Settings(widths, args.steps, args.seeds, seed)))


def of_functions(subject: Fixture) -> Target:
    return from_functions(
        subject.build, batch=subject.batch, loss=subject.loss, optimizer=subject.optimizer, widths=subject.widths
    )


def fixtures(args: argparse.Namespace) -> int:
    """One row a fixture: the verdicts under every base seed."""
    from muaudit.convert.planner import make_plan

    wrong = 0
    for path in sorted(path for path in FIXTURES.glob("*/*.py") if not args.only or path.parent.name in args.only):
        target, name = resolve(str(path)), f"{path.parent.name}/{path.stem}"
        rows = [(name, target, "fail" if path.stem == "sp" else "pass")]
        first = target.axes[0].probes[0]
        if path.stem == "sp":
            rows.append((f"{name}, converted", planned(target, make_plan(target, first, 2 * first)), "pass"))
        for label, subject, expected in rows:
            found = [verdict(subject, args, seed * 1000).status for seed in range(args.base_seeds)]
            wrong += found.count(expected) < len(found)
            shown = f"all {expected}" if set(found) == {expected} else f"expected {expected}: {' '.join(found)}"
            print(f"{label:28} {len(found)} base seeds: {shown}", flush=True)
    return wrong


def bugs(args: argparse.Namespace) -> int:
    """One row a bug: its verdict and where the planted place stands among the offenders."""
    seen = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for bug in BUGS:
            if bug.advice or (args.only and bug.fixture.partition("/")[0] not in args.only):
                continue
            start = time.perf_counter()
            found = verdict(of_functions(plant(bug, Path(folder))), args)
            rank = place(bug, found)
            seen += found.status == "fail"
            wrong += found.status == "fail" and rank > FIRST
            first = ", ".join(each.activation.name for each in found.offenders[:FIRST])
            told = f"place {rank}" if found.status == "fail" else f"{found.status}: not seen"
            passed = time.perf_counter() - start
            print(f"{bug.fixture:18} {bug.name:48} {told:16} {first}  ({passed:.0f} s)", flush=True)
    print(f"{seen} of {len(BUGS)} bugs fail; {wrong} of them with the planted place not among the first {FIRST}")
    return wrong


def plant(bug: Bug, folder: Path) -> Fixture:
    if callable(bug.plant):
        return bug.plant(fixture(bug.fixture))
    return fixture(bug.fixture, (bug.plant,) if isinstance(bug.plant, Edit) else bug.plant, folder)


TIED = {"transformer.wte": ("lm_head", "output")}  # one tensor, two uses


def place(bug: Bug, found: Verdict) -> int:
    """The rank of the first offender at the planted place: the tensor's module, or the attention's logits."""
    modules = [pattern.rpartition(".")[0] for pattern in bug.tensors if not pattern.endswith(".*")]
    modules += [pattern for pattern in bug.tensors if pattern.endswith(".*")]
    modules += [pattern[:-2] for pattern in bug.tensors if pattern.endswith(".*")]
    modules += [use for module in modules for use in TIED.get(module, ())]
    for rank, each in enumerate(found.offenders, 1):
        activation = each.activation
        if activation.kind == "logits" if not modules else any(fnmatchcase(activation.module, m) for m in modules):
            return rank
        if activation.module == "" and any(m in ("readout", "lm_head", "output", "head", "value") for m in modules):
            return rank  # what the readout returns is what the model returns
    return 10**6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=["fixtures", "bugs"])
    parser.add_argument("only", nargs="*", help="mlp, gpt, llama, resnet")
    parser.add_argument("--widths", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--base-seeds", type=int, default=1)
    args = parser.parse_args()
    with open(os.devnull, "w") as quiet, contextlib.redirect_stderr(quiet):
        wrong = {"fixtures": fixtures, "bugs": bugs}[args.which](args)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
