"""The coordinate check that the first page shows, as the program makes it: a GPT as it is, and as converted."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent.parent
_MODEL = str(ROOT / "fixtures" / "gpt" / "sp.py")


@cache
def page() -> str:
    """One self-contained HTML file; made once, however often the site is built anew."""
    with TemporaryDirectory() as folder:
        plan, out = str(Path(folder, "mup")), str(Path(folder, "page.html"))
        _run("convert", _MODEL, "--base-width", "64", "--width", "256", "--no-state-dict", "--out", plan)
        _run("coord-check", _MODEL, "--widths", "64,128,256", "--seeds", "2", "--compare-plan", f"{plan}/plan.yaml",
             "--format", "html", "--output", out)  # fmt: skip
        return Path(out).read_text(encoding="utf-8")


def _run(*arguments: str) -> None:
    """Exit code 1 says what the page shows: the model as it is fails the check."""
    done = subprocess.run([sys.executable, "-m", "muaudit", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"muaudit {arguments[0]} for the first page: {done.stderr}")
