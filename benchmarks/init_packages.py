"""`muaudit init` on packages that others wrote: does what it writes work, and does it say what the rest needs?

    python benchmarks/init_packages.py vit_pytorch x_transformers ...   # installed here, with what they import
    python benchmarks/init_packages.py --site DIRECTORY vit_pytorch     # or in another site-packages

Each package is copied into an empty repository, where init runs and `muaudit check` audits what it wrote. Prints a
row for each: files with models, targets written, what the other files need, time. Exit 1 unless every configuration
works as it was written, or init says what each file needs.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def muaudit(folder: Path, site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run muaudit of this checkout where `site` can be imported from."""
    path = os.pathsep.join(filter(None, (str(ROOT), str(site), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-m", "muaudit", *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def tried(package: str, site: Path, folder: Path, show: bool) -> tuple[str, bool]:
    """The row of a package, and whether it is as it should be."""
    shutil.copytree(site / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    start = time.perf_counter()
    made = muaudit(folder, site, "init")
    seconds = time.perf_counter() - start
    if show:
        print(made.stdout + made.stderr)
    works = made.returncode in (0, 2) and "Traceback" not in made.stderr
    if made.returncode:
        said = re.search(r"(\d+) files? with models, of which none.*?\n(.*)configure a target", made.stderr, re.S)
        files, targets, rows = (said[1], "0", said[2]) if said else ("0", "0", "")
    else:
        targets, files = re.findall(r"wrote (\d+) targets? to \S+, of (\d+) files?", made.stdout)[0]
        rows = "".join(re.findall(r"not configured.*?\n\n", made.stdout, re.S))
        audited = muaudit(folder, site, "check", "--statistics", "--no-cache")
        works = works and audited.returncode in (0, 1)
        if show:
            print(audited.stdout + audited.stderr[-3000:])
    untried = re.search(r"not tried: (\d+) files?", made.stdout + made.stderr)
    needs = needed(rows) + ([f"time for {untried[1]}"] if untried else [])
    return f"| {package} | {files} | {targets} | {', '.join(needs) or 'nothing'} | {seconds:.0f} s |", works


def needed(rows: str) -> list[str]:
    """What files that were not configured need, by kind."""
    found = [f"{name} installed" for name in re.findall(r"^  package (\S+): not installed", rows, re.M)]
    values = len(re.findall(r"^  \S+: set = ", rows, re.M))
    others = len(re.findall(r"^  \S+\.py\S*: (?!set =|a part of|a layer|takes nothing)", rows, re.M))
    found += [f"values of arguments for {values}"] if values else []
    return found + ([f"an input, a size or a fix for {others}"] if others else [])


def main() -> None:
    """A row for every package."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("packages", nargs="+", help="import names")
    parser.add_argument("--site", type=Path, default=Path(sysconfig.get_paths()["purelib"]))
    parser.add_argument("--show", action="store_true", help="print what init and check say")
    given = parser.parse_args()
    failed = False
    for package in given.packages:
        with tempfile.TemporaryDirectory() as folder:
            row, right = tried(package, given.site.resolve(), Path(folder), given.show)
        failed |= not right
        print(row if right else f"{row} FAILED", flush=True)
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
