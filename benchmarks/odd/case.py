"""One odd model, what muaudit must say of it, and what it said."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from muaudit.audit import check
from muaudit.errors import UserError

Edit = Callable[["Net", int], Any]
AUDITED = ""


class Net(nn.Module):
    """Three layers, which every odd model is an edit of. run: what stands in for its forward."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.mid, self.head = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 10)
        self.run: Callable[..., Any] | None = None

    def forward(self, x: torch.Tensor) -> Any:
        return self.plain(x) if self.run is None else self.run(self, x)

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.mid(F.relu(self.up(x)))))


@dataclass(frozen=True)
class Odd:
    """kind, name: what it is. edit: of the model after it is built; it may return another. run: in place of its
    forward. functions: batch, loss, optimizer, scheduler, or build itself.

    says: what the message must hold; where it is empty, there must be a report: with this verdict, or any where that is
    empty too.
    """

    kind: str
    name: str
    says: str = AUDITED
    edit: Edit | None = None
    run: Callable[[Net, torch.Tensor], Any] | None = None
    verdict: str = "standard"
    functions: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


@dataclass(frozen=True)
class Said:
    """What came of it: a verdict, or a message. error: an exception that is no UserError: a fault of muaudit's."""

    verdict: str | None
    message: str
    seconds: float
    error: BaseException | None = None

    def fits(self, odd: Odd) -> bool:
        """Whether it is what must be said."""
        if self.error is not None:
            return False
        return odd.says in self.message if odd.says else self.verdict is not None and odd.verdict in ("", self.verdict)


def tried(odd: Odd) -> Said:
    """Audit it, here and now; global state is as it was afterwards."""

    def build(width: int) -> Any:
        model = Net(width)
        model.run = odd.run
        made = odd.edit(model, width) if odd.edit else None
        return made if isinstance(made, nn.Module) else model

    given = {"build": build, "batch": lambda width: torch.randn(4, 16), **odd.functions}
    begun = time.perf_counter()
    verdict, message, error = None, "", None
    with _restored(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            verdict = check(given.pop("build"), **given).verdict
        except UserError as told:
            message = str(told)
        except BaseException as raised:
            error, message = raised, f"{type(raised).__name__}: {raised}"
    return Said(verdict, message, time.perf_counter() - begun, error)


@contextmanager
def _restored() -> Any:
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.set_default_device(None)
