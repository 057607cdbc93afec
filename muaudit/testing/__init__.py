"""µP as a test: `assert_mup(build, ...)` fails with the report where something would break as the model widens.

    from muaudit.testing import assert_mup

    def test_gpt_is_mup():
        assert_mup(lambda width: GPT(Config(n_embd=width)), optimizer=lambda model: model.configure_optimizers())

    def test_the_configured_target():
        assert_mup("gpt")

With muaudit installed, pytest has it as the fixture `assert_mup` too. Nothing heavy is imported before a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from muaudit.findings.model import Report, Severity
    from muaudit.parametrizations.profiles import Profile

__all__ = ["assert_mup"]


def assert_mup(
    build: Callable[..., nn.Module] | str,
    *,
    batch: Callable[..., Any] | None = None,
    loss: Callable[..., Any] | None = None,
    optimizer: Callable[..., Any] | None = None,
    scheduler: Callable[..., Any] | None = None,
    widths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    profile: Profile | str | None = None,
    seed: int = 0,
    target_width: int | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    fail_on: Severity = "error",
    strict: bool = False,
) -> Report:
    """Audit a model and fail where the audit does; the report otherwise.

    build: a function as for `muaudit.check`, with batch, loss, optimizer, scheduler and widths as there; or TARGET as
        on the command line: the name of a configured target (with its section, and the configured baseline),
        `file.py:Name`, `package.module:Name`. Comments `# muaudit: ignore[RULE] reason` count in both cases.
    select, ignore: rules by code prefix or name. fail_on: the mildest severity that fails. strict: fail where anything
        could not be analysed.

    The state of the random number generators is the same afterwards as before.

    Raises:
        AssertionError: with the report, as `muaudit check` prints it.
        UserError: the model could not be audited, or something was asked for that does not exist.
    """
    __tracebackhide__ = True
    from muaudit.testing.asserted import audited_functions, audited_target, same_random_state
    from muaudit.testing.failure import failure

    functions = {"batch": batch, "loss": loss, "optimizer": optimizer, "scheduler": scheduler, "widths": widths}
    with same_random_state():
        if isinstance(build, str):
            report = audited_target(build, functions, profile, seed, target_width, select, ignore)
        else:
            report = audited_functions(build, functions, profile, seed, target_width, select, ignore)
    told = failure(report, fail_on, strict)
    if told:
        raise AssertionError(told)
    return report
