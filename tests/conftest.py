"""One thread a test process (as `muaudit` has it), a cache of audits of its own, no variables of a CI service."""

from __future__ import annotations

import compileall
import gc
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

NO_BYTECODE = sys.dont_write_bytecode
# Of muaudit and of the tests it is written, whatever the environment says, until the tests run: every process would
# compile them anew otherwise, a third of its time. Of what the tests write it is not: a model that is changed within
# the second has the bytecode of the one before.
sys.dont_write_bytecode = False
# Read when torch is imported. Two workers with a thread per core each wait for one another: some ten times slower.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MUAUDIT_VERIFY"] = "1"  # a parameter that the engine loses is an error, not a line of the report
# Every audit leaves graphs in circles, and few are large: by default a tenth of the time goes into looking for them.
gc.set_threshold(20_000, 20, 20)
settings.register_profile("without a clock", deadline=None)  # how long an example takes is a matter of the machine
settings.load_profile("without a clock")


def pytest_configure(config: pytest.Config) -> None:
    """Compile muaudit for the processes that tests start; the workers of xdist find it done."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(__file__).parent.parent / "muaudit", quiet=2, workers=2)


def pytest_collection_finish() -> None:
    """Import what an audit needs once, rather than in every process that a test has forked.

    An optimizer's step brings in torch's compiler, and a loss over several members at once sympy. What is imported by
    now stays: no collection looks at it again, here or in what is forked from here.
    """
    audit = import_module("muaudit.isolation.task").AUDIT
    for name in ("torch._dynamo", "torch.fx.experimental.symbolic_shapes", *audit):
        import_module(name.partition(":")[0])
    import_module("muaudit.optimizers").families()
    sys.dont_write_bytecode = NO_BYTECODE
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _kept() -> None:
    """What the tests of other files have left for good: every process that is forked would look through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for each test, not there yet. pytest would look through all that there are for the next free number."""
    folder = tmp_path_factory.mktemp("caches")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def _alone(caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUAUDIT_CACHE_DIR", str(next(caches)))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
