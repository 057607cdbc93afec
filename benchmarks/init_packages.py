"""`muaudit init` on packages that others wrote: does what it writes work, and does it say what the rest needs?

    python benchmarks/init_packages.py vit_pytorch x_transformers ...   # installed here, with what they import
    python benchmarks/init_packages.py --site DIRECTORY vit_pytorch     # or in another site-packages

Each package is copied into an empty repository, where init runs and `muaudit check` audits what it wrote. Prints a row
for each; exit 1 unless every configuration works as written, or init says what each file needs.
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
    if made.returncode:
        says = "build(width)" in made.stderr and "Traceback" not in made.stderr
        return f"| {package} | 0 | | | {seconds:.0f} s |", says and made.returncode == 2
    targets, files = map(int, re.findall(r"wrote (\d+) targets? to \S+, of (\d+) files?", made.stdout)[0])
    needed = re.findall(r"not configured.*?\n\n", made.stdout, re.S)
    needs = sum(line.startswith("  ") for line in needed[0].splitlines()) if needed else 0
    audited = muaudit(folder, site, "check", "--statistics", "--no-cache")
    if show:
        print(audited.stdout + audited.stderr[-3000:])
    return f"| {package} | {files} | {targets} | {needs} | {seconds:.0f} s |", audited.returncode in (0, 1)


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
