"""The command line starts fast: nothing heavy is imported before a command needs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "matplotlib", "numpy", "transformers", "yaml", "rich", "pygraphviz")

PROBE = """
import sys
sys.argv[0] = "muaudit"
from muaudit.cli.main import main
try:
    main()
except SystemExit:
    pass
print(*(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["check", "--help"],
        ["--version"],
        ["version"],
        ["rules"],
        ["explain", "MUP201"],
        ["tables"],
        ["check", "--format", "yaml"],
    ],
    ids=" ".join,
)
def test_no_heavy_import(args: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(heavy=HEAVY), *args], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1].split() == []


def test_import_muaudit_is_free_and_lazy() -> None:
    code = f"""
import sys, muaudit
assert not [name for name in {HEAVY!r} if name in sys.modules]
assert muaudit.Report.__module__ == "muaudit.findings.model"
assert "check" in dir(muaudit) and muaudit.__version__
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_public_name() -> None:
    import muaudit

    with pytest.raises(AttributeError, match="no attribute 'chek'"):
        _ = muaudit.chek
