"""Models, losses and optimizers that nobody expects: each has a verdict or one message, none ends in a traceback."""

from __future__ import annotations

import cProfile
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from odd.case import Net, Odd, tried
from odd.models import corpus
from torch import nn

from muaudit.audit import check
from muaudit.entries import entries
from muaudit.errors import UserError
from muaudit.targets.sound import check_structure, check_values
from muaudit.targets.usercode import answered, raised_by_user

ODD = corpus()


@pytest.mark.parametrize("odd", ODD, ids=map(str, ODD))
def test_every_odd_model_has_an_answer(odd: Odd) -> None:
    said = tried(odd)
    if said.error is not None:
        raise said.error
    assert said.fits(odd), (said.verdict, said.message)


def test_the_corpus_names_each_once() -> None:
    assert len(set(map(str, ODD))) == len(ODD) > 120


def test_a_message_says_where_what_and_what_to_do() -> None:
    """As of `docs/contract.md`: expected, found, what to do."""
    model = Net(8)
    with torch.no_grad():
        model.mid.weight[0, 1] = float("nan")
    with pytest.raises(UserError, match=r"net: the parameter mid\.weight holds nan") as told:
        check_values(model, "net")
    assert told.value.hint == "initialize it with finite numbers"


def test_a_module_that_is_used_twice_is_no_circle() -> None:
    shared = nn.Linear(4, 4)
    check_structure(nn.ModuleList([shared, nn.Sequential(shared, shared)]), "net")


def test_a_chain_of_modules_of_any_depth_is_a_tree() -> None:
    chain: nn.Module = nn.Linear(2, 2)
    for _ in range(5000):
        chain = nn.Sequential(chain)
    check_structure(chain, "net")


def test_values_of_sparse_tensors_are_added_up_by_place() -> None:
    twice = torch.sparse_coo_tensor([[0, 0, 1]], [1.0, 2.0, 5.0], (4,))
    assert entries(twice).tolist() == [3.0, 5.0]
    assert entries(torch.eye(3).to_sparse_csr()).tolist() == [1.0, 1.0, 1.0]


def test_sparse_gradients_are_judged_as_dense_ones() -> None:
    def of(sparse: bool) -> Any:
        def build(width: int) -> nn.Module:
            table = nn.Embedding(50, width, sparse=sparse)
            mid, head = nn.Linear(width, width), nn.Linear(width, 10)
            return nn.Sequential(table, nn.Flatten(0, 1), mid, nn.ReLU(), head)

        report = check(build, batch=lambda width: torch.arange(50).view(5, 10))
        return report.verdict, report.violations, [(each.name, each.init_exponent) for each in report.tensors]

    assert of(True) == of(False)


def test_lazy_layers_are_drawn_like_those_that_know_their_size() -> None:
    """The forward that gives them a shape comes after the seed of each draw."""

    def of(first: Any) -> Any:
        def build(width: int) -> nn.Module:
            return nn.Sequential(first(width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))

        report = check(build, batch=lambda width: torch.randn(4, 16))
        return report.verdict, [(each.name, each.init_exponent, each.lr_exponent) for each in report.tensors]

    assert of(nn.LazyLinear) == of(lambda width: nn.Linear(16, width))


# -- whose fault it is -------------------------------------------------------------------------------------------
def fault(file: Path) -> Exception:
    """An exception out of a function of this file."""
    namespace: dict[str, Any] = {}
    exec(compile("def fail():\n    return {}['x']", str(file), "exec"), namespace)
    try:
        namespace["fail"]()
    except KeyError as error:
        return error
    raise AssertionError


def test_whose_a_fault_is_tells_the_innermost_frame(tmp_path: Path) -> None:
    import muaudit

    own = Path(muaudit.__file__).parent
    assert raised_by_user(fault(tmp_path / "model.py"))
    assert not raised_by_user(fault(own / "judge" / "blame.py"))
    assert raised_by_user(fault(Path(torch.__file__).parent / "nn" / "functional.py"))  # called from this very file
    with pytest.raises(KeyError), answered("the audited code"):
        raise fault(own / "solve" / "uses.py")
    with pytest.raises(UserError, match="the audited code raised KeyError: 'x'"), answered("the audited code"):
        raise fault(tmp_path / "model.py")


# -- looking on while a model is built ---------------------------------------------------------------------------
def audited() -> str:
    return check(Net, batch=lambda width: torch.randn(4, 16)).verdict


def test_an_audit_runs_under_a_profiler_which_goes_on_after_it() -> None:
    profile = cProfile.Profile()
    profile.enable()
    try:
        assert audited() == "standard"
        max(1, 2)
    finally:
        profile.disable()
    called = {entry.code for entry in profile.getstats()}
    assert any("max" in str(code) for code in called)


def test_a_profiler_of_python_sees_what_the_audit_watches() -> None:
    seen: set[str] = set()

    def look(frame: FrameType, event: str, argument: Any) -> None:
        seen.add(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        assert audited() == "standard"
        assert sys.getprofile() is look
    finally:
        sys.setprofile(before)
    assert {"reset_parameters", "choose"} <= seen
